//! What somebody may have meant.

/// At most this many names are proposed.
const MOST: usize = 3;

/// Returns the names that are most like `asked`, the nearest first; at most three.
///
/// A name that contains what was asked comes first, then those with the fewest changed letters;
/// names that differ in more than half of their letters are not among them. Upper and lower case
/// count as the same.
pub fn nearest<'a>(asked: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let asked = asked.to_ascii_lowercase();
    let mut ranked: Vec<_> = names
        .into_iter()
        .filter_map(|name| rank(&asked, &name.to_ascii_lowercase()).map(|rank| (rank, name)))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    // What is much further away than the nearest was not meant.
    let furthest = ranked.first().map_or(0, |(best, _)| best + 1);
    ranked.retain(|(rank, _)| *rank <= furthest);
    ranked.into_iter().take(MOST).map(|(_, name)| name).collect()
}

fn rank(asked: &str, name: &str) -> Option<usize> {
    // People leave the package out.
    let short = name.rsplit_once('/').map_or(name, |(_, method)| method);
    let whole = distance(asked, name);
    let least = whole.min(distance(asked, short));
    let is_part = asked.len() > 2 && name.contains(asked);
    (is_part || least * 2 <= asked.len()).then_some(if is_part { 0 } else { least })
}

/// Letters to change, add or remove (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] =
        ["echo.v1.Echo/Say", "echo.v1.Echo/SayTwice", "echo.v1.Echo/Watch", "tokens"];

    #[test]
    fn letters_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }

    #[test]
    fn a_slip_a_part_and_a_name_without_its_package_are_understood() {
        assert_eq!(nearest("echo.v1.Echo/Sya", NAMES)[0], "echo.v1.Echo/Say");
        assert_eq!(nearest("watsh", NAMES), ["echo.v1.Echo/Watch"]);
        assert_eq!(nearest("twice", NAMES), ["echo.v1.Echo/SayTwice"]);
        assert_eq!(nearest("tokns", NAMES), ["tokens"]);
        assert_eq!(nearest("zzzzzz", NAMES), [""; 0]);
    }
}
