//! Loopback ports for servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use rand::Rng;

use crate::replace;

/// A loopback port that nobody listens on, and that this process was not given before: who was may
/// not have come to listen on it yet.
///
/// It lies below the range from which systems take the ports of outgoing connections: there,
/// such a connection could take a server's port while the server restarts.
pub fn free_port() -> io::Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut random = rand::rng();
    (0..1000)
        .map(|_| random.random_range(20_000..32_000))
        .find(|port| is_free(*port) && given.insert(*port))
        .ok_or_else(|| io::Error::other("no free loopback port between 20000 and 32000"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Ports by name, kept in a file so that a name has the same port next time.
#[derive(Debug)]
pub struct Ports {
    file: PathBuf,
    known: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads the file; one that is missing or unreadable counts as empty.
    pub fn open(file: &Path) -> Ports {
        let known = fs::read_to_string(file)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Ports { file: file.to_owned(), known }
    }

    /// The port of `name`: the one it had, if that is still free, else a new one.
    pub fn port(&mut self, name: &str) -> io::Result<u16> {
        if let Some(port) = self.known.get(name)
            && is_free(*port)
        {
            return Ok(*port);
        }
        let port = loop {
            let port = free_port()?;
            if !self.known.values().any(|known| *known == port) {
                break port;
            }
        };
        self.known.insert(name.to_owned(), port);
        let text = serde_json::to_string_pretty(&self.known).map_err(io::Error::other)?;
        replace(&self.file, &text)?;
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::free_port;

    #[test]
    fn nobody_is_given_a_port_that_another_was_given() {
        let ports: BTreeSet<_> = (0..500).map(|_| free_port().unwrap()).collect();

        assert_eq!(ports.len(), 500);
    }
}
