//! Fuzzing with nothing but the compiler that is there: inputs that were kept are tried as they are, and
//! then changed, joined and cut for a while. What breaks is made smaller and kept.
//!
//! | variable | |
//! |---|---|
//! | `FUZZ_SECONDS` | for how long inputs are changed, in each target; else 2 |
//! | `FUZZ_SEED` | which changes are made; else always the same, so that tests of a change fail by it alone |

mod change;

use std::{
    collections::HashSet,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use alloc_tracker::Session;

use change::Dice;

/// Of the changes that are made if nobody asks for others.
const SEED: u64 = 1;
/// No input is longer.
const LONGEST: usize = 8192;
/// Inputs that did something new are changed further, up to so many.
const MOST: usize = 4096;
/// What one input may cost.
const SLOW: Duration = Duration::from_secs(5);
const MEMORY: usize = 64 << 10;
const MEMORY_PER_BYTE: usize = 256;
/// How often a bad input is tried to be made smaller.
const SHRINKS: usize = 300;

/// A place where strangers' input is read.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where inputs are kept, from the package's root: the lines of the file of this name with `.txt`, and
    /// the files of the folder of this name, to which what breaks is added.
    pub corpus: &'a str,
    /// Bytes that mean something there.
    pub words: &'a [&'a str],
}

/// Tries inputs of `target` for a while. `check` says what became of one, by which it is told whether it
/// did something new, or in what it broke a promise. A panic breaks one, and so does an input that costs
/// much memory, of which no more may be held at any moment than 64 KiB and 256 bytes for each byte of the
/// input, or more than five seconds.
///
/// The allocator of the test's program has to be an [`Allocator`](alloc_tracker::Allocator).
///
/// # Panics
/// If a promise is broken: with the input's name, which is kept, and the seed.
pub fn fuzz<S: Hash>(target: &Target<'_>, check: impl Fn(&[u8]) -> Result<S, String>) {
    let vain = measured(|| drop(std::hint::black_box(vec![0_u8; 1 << 20]))).1;
    assert!(vain >= 1 << 20, "make alloc_tracker::Allocator the global allocator of these tests");
    let mut pool = target.kept();
    assert!(!pool.is_empty(), "nothing is kept in {}", target.corpus);
    // What is made once, by whoever comes first, is no input's cost.
    let _ = catch_unwind(AssertUnwindSafe(|| check(&pool[0].1)));
    let mut shapes = HashSet::new();
    for (name, input) in &pool {
        match attempt(&check, input) {
            Ok(shape) => _ = shapes.insert(shape),
            Err(why) => panic!("{name}: {why}"),
        }
    }
    let (kept, seed) = (pool.len(), seed());
    println!("{}: {kept} kept inputs hold; FUZZ_SEED={seed}", target.corpus);
    let (mut dice, mut tried) = (Dice::new(seed), 0_u64);
    let until = Instant::now() + seconds();
    while Instant::now() < until {
        let input = change::changed(&mut dice, &pool, target.words, LONGEST);
        tried += 1;
        match attempt(&check, &input) {
            Ok(shape) => {
                if shapes.insert(shape) && pool.len() < MOST {
                    pool.push((format!("input {tried}"), input));
                }
            }
            Err(_) => {
                let (input, why) = shrunk(&check, input);
                let file = target.keep(&input);
                panic!("{} (input {tried} of FUZZ_SEED={seed}): {why}", file.display());
            }
        }
    }
    println!("{}: {tried} inputs, {} kinds of outcome", target.corpus, shapes.len());
}

impl Target<'_> {
    /// Every input that is kept, with its name.
    fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let file = format!("{}.txt", self.corpus);
        let lines = fs::read_to_string(&file).unwrap_or_default();
        let lines = lines.lines().enumerate();
        let lines = lines.map(|(n, line)| (format!("{file}:{}", n + 1), line.as_bytes().to_vec()));
        let mut kept: Vec<_> = lines.collect();
        let files = fs::read_dir(self.corpus).into_iter().flatten().filter_map(Result::ok);
        let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
        files.sort();
        let read = |file: &PathBuf| Some((file.display().to_string(), fs::read(file).ok()?));
        kept.extend(files.iter().filter_map(read));
        kept
    }

    /// Keeps an input that breaks something, under the hash of what is in it.
    fn keep(&self, input: &[u8]) -> PathBuf {
        let file = Path::new(self.corpus).join(format!("found-{:016x}", hash(&input)));
        let kept = fs::create_dir_all(self.corpus).and_then(|()| fs::write(&file, input));
        kept.unwrap_or_else(|error| panic!("{} cannot be kept: {error}", file.display()));
        file
    }
}

/// Tries one input. Returns the shape of what became of it.
fn attempt<S: Hash>(
    check: &impl Fn(&[u8]) -> Result<S, String>,
    input: &[u8],
) -> Result<u64, String> {
    let begun = Instant::now();
    let (outcome, memory) = measured(|| catch_unwind(AssertUnwindSafe(|| check(input))));
    let took = begun.elapsed();
    let shape = match outcome {
        Ok(outcome) => hash(&outcome?),
        Err(panic) => return Err(format!("it panics: {}", words(&*panic))),
    };
    let most = MEMORY + MEMORY_PER_BYTE * input.len();
    if memory > most {
        return Err(format!("it holds {memory} bytes for {} bytes, and not {most}", input.len()));
    }
    if took > SLOW {
        return Err(format!("it takes {took:?}"));
    }
    Ok(shape)
}

/// Runs something. Returns the most bytes that it held at any moment as well.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let session = Session::new().no_stdout().no_file();
    let operation = session.operation("input");
    let span = operation.measure_thread().iterations(1);
    let done = work();
    drop(span);
    let report = session.to_report();
    let peak = report.operations().find_map(|(_, it)| it.peak_outstanding_bytes());
    // A count of bytes that were allocated.
    (done, peak.unwrap_or_default() as usize)
}

/// The smallest input that was found to break something as well, and what it breaks.
fn shrunk<S: Hash>(
    check: &impl Fn(&[u8]) -> Result<S, String>,
    mut input: Vec<u8>,
) -> (Vec<u8>, String) {
    let Err(mut why) = attempt(check, &input) else {
        return (input, "it broke something once, and then did not".to_owned());
    };
    let (mut piece, mut at) = (input.len().div_ceil(2).max(1), 0);
    for _ in 0..SHRINKS {
        if at >= input.len() {
            (piece, at) = (piece / 2, 0);
        }
        if piece == 0 {
            break;
        }
        let end = (at + piece).min(input.len());
        let smaller = [&input[..at], &input[end..]].concat();
        match attempt(check, &smaller) {
            Err(as_well) => (input, why) = (smaller, as_well),
            Ok(_) => at = end,
        }
    }
    (input, why)
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn seconds() -> Duration {
    let given =
        env::var("FUZZ_SECONDS").ok().map(|text| text.parse().map(Duration::try_from_secs_f64));
    match given {
        None => Duration::from_secs(2),
        Some(Ok(Ok(time))) => time,
        Some(_) => panic!("FUZZ_SECONDS is a number of seconds"),
    }
}

fn seed() -> u64 {
    match env::var("FUZZ_SEED").ok().map(|text| text.parse()) {
        Some(Ok(seed)) => seed,
        Some(Err(_)) => panic!("FUZZ_SEED is a number"),
        None => SEED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> =
        alloc_tracker::Allocator::system();

    /// Fuzzes something that breaks. Returns what is said of it, and the input that was kept.
    fn broken(
        name: &str,
        check: impl Fn(&[u8]) -> Result<usize, String>,
    ) -> (String, Option<Vec<u8>>) {
        let corpus = env::temp_dir().join(format!("fuzz-{name}-{}", std::process::id()));
        fs::write(corpus.with_extension("txt"), "a first line\nand another\n").unwrap();
        let path = corpus.display().to_string();
        let target = Target { corpus: &path, words: &["needle"] };
        let panic = catch_unwind(AssertUnwindSafe(|| fuzz(&target, check))).unwrap_err();
        let kept = fs::read_dir(&corpus).ok().and_then(|mut files| files.next());
        let kept = kept.map(|file| fs::read(file.unwrap().path()).unwrap());
        let _ = fs::remove_dir_all(&corpus);
        fs::remove_file(corpus.with_extension("txt")).unwrap();
        (words(&*panic).to_owned(), kept)
    }

    fn has_needle(input: &[u8]) -> bool {
        input.windows(6).any(|it| it == b"needle")
    }

    #[test]
    fn what_breaks_is_found_made_small_and_kept() {
        let says = |input: &[u8]| match has_needle(input) {
            true => Err("there is a needle".to_owned()),
            false => Ok(input.len()),
        };
        let (said, kept) = broken("says", says);
        assert!(said.contains("/found-") && said.ends_with(": there is a needle"), "{said}");
        assert!(said.contains("FUZZ_SEED="), "{said}");
        assert_eq!(kept.as_deref(), Some(&b"needle"[..]));

        let (said, kept) = broken("panics", |input| {
            assert!(!has_needle(input), "a needle");
            Ok(input.len())
        });
        assert!(said.ends_with(": it panics: a needle"), "{said}");
        assert_eq!(kept.as_deref(), Some(&b"needle"[..]));

        let (said, _) = broken("holds", |input| {
            let more = if has_needle(input) { 1 << 24 } else { 0 };
            Ok(std::hint::black_box(vec![0_u8; more]).len().min(1))
        });
        assert!(said.contains(": it holds 16777216 bytes for 6 bytes"), "{said}");
    }

    #[test]
    fn what_is_kept_is_tried_before_anything_else() {
        let (said, kept) = broken("kept", |input| match input.starts_with(b"and") {
            true => Err("as before".to_owned()),
            false => Ok(0),
        });

        assert!(said.ends_with(".txt:2: as before"), "{said}");
        assert_eq!(kept, None);
    }
}
