//! Addresses from a file.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::known::Finding;

/// A file that is written for this long is not waited for; it is looked at again later.
const SETTLED_WITHIN: u32 = 20;
const SETTLING: Duration = Duration::from_millis(20);
/// More than any service has addresses: what is longer is another file.
const MAX_LENGTH: u64 = 1 << 20;

/// A file with one `IP:PORT` in each line; `#` begins a comment, empty lines are nothing.
///
/// It is looked at rather than subscribed to: that works on every file system, and for the
/// symbolic links that Kubernetes swaps under a mounted ConfigMap.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    interval: Duration,
    seen: Option<(Stamp, Finding)>,
}

/// Tells whether a file was written without reading it.
type Stamp = (Option<SystemTime>, u64);

impl File {
    pub(super) fn new(path: PathBuf, interval: Duration) -> Self {
        Self { path, interval, seen: None }
    }

    /// Looks at the file and reads it if it changed.
    pub(super) async fn look(&mut self) -> Finding {
        let stamp = match stamp(&self.path).await {
            Ok(stamp) => stamp,
            Err(error) => {
                self.seen = None;
                return Finding::Failed { why: format!("cannot be read: {error}") };
            }
        };
        if let Some((seen, finding)) = &self.seen
            && *seen == stamp
        {
            return finding.clone();
        }
        let finding = match self.settled().await {
            Ok(text) => self.parse(&text),
            Err(error) => Finding::Failed { why: format!("cannot be read: {error}") },
        };
        self.seen = Some((stamp, finding.clone()));
        finding
    }

    /// The text, once it reads the same twice: somebody may be writing it.
    async fn settled(&self) -> io::Result<String> {
        let mut text = tokio::fs::read_to_string(&self.path).await?;
        for _ in 0..SETTLED_WITHIN {
            tokio::time::sleep(SETTLING).await;
            let again = tokio::fs::read_to_string(&self.path).await?;
            if again == text {
                return Ok(text);
            }
            text = again;
        }
        Err(io::Error::other("it is being written"))
    }

    fn parse(&self, text: &str) -> Finding {
        // Whoever writes lines ends them all; the last one may otherwise lack its last digits.
        if !text.ends_with('\n') {
            return Finding::Failed { why: "the last line has no end: half-written".to_owned() };
        }
        match addresses(text) {
            Err(why) => Finding::Failed { why },
            Ok(addresses) if addresses.is_empty() => {
                Finding::Absent { why: "the file lists no address".to_owned(), ttl: None }
            }
            Ok(addresses) => Finding::Found { addresses, ttl: Some(self.interval), flaw: None },
        }
    }
}

async fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = tokio::fs::metadata(path).await?;
    if metadata.len() > MAX_LENGTH {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok((metadata.modified().ok(), metadata.len()))
}

fn addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        if !line.is_empty() {
            let wrong = |_| format!("line {}: `{line}` is not IP:PORT", index + 1);
            addresses.push(line.parse().map_err(wrong)?);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Finding {
        File::new(PathBuf::new(), Duration::from_secs(1)).parse(text)
    }

    #[test]
    fn a_file_has_an_address_in_each_line_and_comments() {
        let text = "# orders\n127.0.0.1:1\n\n  [::1]:2 # the second\n";

        let Finding::Found { addresses, .. } = parse(text) else { panic!("two addresses") };

        assert_eq!(addresses, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    }

    #[test]
    fn a_file_that_cannot_be_right_is_refused_whole() {
        for (text, wrong) in [
            ("", "half-written"),
            ("127.0.0.1:1\n127.0.0.1:50", "half-written"),
            ("127.0.0.1:1\norders:2\n", "line 2: `orders:2` is not IP:PORT"),
        ] {
            let Finding::Failed { why } = parse(text) else { panic!("{text:?} is taken") };
            assert!(why.contains(wrong), "{why}");
        }
    }

    #[test]
    fn a_file_of_comments_says_that_there_is_no_address() {
        assert!(matches!(parse("# none today\n"), Finding::Absent { .. }));
    }
}
