//! What a handshake established.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::material::Leaf;
use crate::peer::SpiffeId;

/// What is known of a connection since its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    presented: Presented,
    ends: SystemTime,
}

/// The certificate that the peer showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// None.
    Nothing,
    /// One that is good but names no SPIFFE id, and why not.
    Unnamed(&'static str),
    /// One that names this id.
    Id(SpiffeId),
}

impl Session {
    /// A session between our certificate, which ends at `ours`, and what the peer showed.
    pub(super) fn new(ours: SystemTime, shown: Option<&[CertificateDer<'_>]>) -> Self {
        let Some(certificate) = shown.and_then(<[_]>::first) else {
            return Self { presented: Presented::Nothing, ends: ours };
        };
        match Leaf::parse(certificate) {
            Ok(leaf) => {
                let presented = leaf.id.map_or_else(Presented::Unnamed, Presented::Id);
                Self { presented, ends: ours.min(leaf.ends) }
            }
            Err(why) => Self { presented: Presented::Unnamed(why), ends: ours },
        }
    }

    /// The certificate that the peer showed.
    pub fn presented(&self) -> &Presented {
        &self.presented
    }

    /// When the first of the two certificates ends. The connection is to be told good-bye before
    /// that, by whoever owns its age.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// Time until [`ends`](Self::ends), zero if it has passed.
    pub fn remaining(&self) -> Duration {
        self.ends.duration_since(SystemTime::now()).unwrap_or_default()
    }
}
