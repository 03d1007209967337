//! Loopback ports for servers.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use rand::Rng;

use crate::replace;

/// Below the range from which systems take the ports of outgoing connections: there, such a connection
/// could take a server's port while the server restarts.
const ALL: Range<u16> = 20_000..32_000;
/// So many ports are one process's at a time. The first of them is its sign: whoever listens there may
/// give the others away.
const BLOCK: u16 = 60;

/// A loopback port that nobody listens on, and that nobody was given who may not have come to listen
/// on it yet: neither in this process nor in another one that draws ports here and still runs.
///
/// # Errors
/// All blocks belong to others, or listen.
pub fn free_port() -> io::Result<u16> {
    Given::here().draw()
}

/// What this process may give away, and what of it it has given.
struct Given {
    signs: BTreeMap<u16, TcpListener>,
    ports: BTreeSet<u16>,
}

impl Given {
    fn here() -> MutexGuard<'static, Given> {
        static HERE: Mutex<Given> = Mutex::new(Given::none());
        HERE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn none() -> Given {
        Given { signs: BTreeMap::new(), ports: BTreeSet::new() }
    }

    fn draw(&mut self) -> io::Result<u16> {
        let own = self.signs.keys().copied().collect::<Vec<_>>();
        if let Some(port) = own.into_iter().find_map(|block| self.of_block(block)) {
            return Ok(port);
        }
        let blocks = (ALL.end - ALL.start) / BLOCK;
        let begin = rand::rng().random_range(0..blocks);
        (0..blocks)
            .map(|next| ALL.start + (begin + next) % blocks * BLOCK)
            .find_map(|block| self.of_block(block))
            .ok_or_else(|| io::Error::other(format!("no free loopback port in {ALL:?}")))
    }

    /// A port of a block that is this process's, or that it can have.
    fn of_block(&mut self, block: u16) -> Option<u16> {
        (block + 1..block + BLOCK).find(|port| !self.ports.contains(port) && self.take(*port))
    }

    /// Whether a port is free and was not given; from then on it is.
    fn take(&mut self, port: u16) -> bool {
        if !ALL.contains(&port) {
            return is_free(port) && self.ports.insert(port);
        }
        let block = port - (port - ALL.start) % BLOCK;
        if port == block || !is_free(port) {
            return false;
        }
        if let Entry::Vacant(entry) = self.signs.entry(block) {
            let Ok(sign) = listen(block) else { return false };
            entry.insert(sign);
        }
        self.ports.insert(port)
    }
}

fn is_free(port: u16) -> bool {
    listen(port).is_ok()
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Ports by name, kept in a file so that a name has the same port next time.
#[derive(Debug)]
pub struct Ports {
    file: PathBuf,
    known: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads the file; one that is missing or unreadable counts as empty. What it names is from then on
    /// given to nobody else.
    pub fn open(file: &Path) -> Ports {
        let known: BTreeMap<String, u16> = fs::read_to_string(file)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let mut given = Given::here();
        for port in known.values() {
            given.take(*port);
        }
        Ports { file: file.to_owned(), known }
    }

    /// The port of `name`: the one it had, if that is still free, else a new one.
    pub fn port(&mut self, name: &str) -> io::Result<u16> {
        let mut given = Given::here();
        if let Some(port) = self.known.get(name)
            && given.ports.contains(port)
            && is_free(*port)
        {
            return Ok(*port);
        }
        let port = loop {
            let port = given.draw()?;
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

    use super::{ALL, BLOCK, Given, free_port, is_free};

    #[test]
    fn nobody_is_given_a_port_that_another_was_given() {
        let ports: BTreeSet<_> = (0..500).map(|_| free_port().unwrap()).collect();

        assert_eq!(ports.len(), 500);
    }

    #[test]
    fn no_process_gives_away_what_another_has_given() {
        let (mut one, mut other) = (Given::none(), Given::none());

        let port = one.draw().unwrap();

        assert!(is_free(port), "nobody listens there yet");
        let neighbour = if (port - ALL.start) % BLOCK == 1 { port + 1 } else { port - 1 };
        assert!(!other.take(port) && !other.take(neighbour));
        assert!(one.take(neighbour) && !one.take(neighbour));
        drop(one);
        assert!(other.take(port), "a process that is gone has given nothing");
    }
}
