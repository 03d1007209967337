//! Who everything that runs is: certificates with `up --mtls`, else keys for service tokens.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use mesh_local::{Authority, CertificateFiles, Holder, Home, Issued, Kept, ServiceKeys};
use meshctl::caller::{self, Caller};

/// The identities of everything that runs. Certificates are replaced for as long as it lives.
#[derive(Debug)]
pub(super) enum Identities {
    /// Mutual TLS.
    Certificates(Certificates),
    /// Plaintext on loopback.
    Tokens(ServiceKeys),
}

/// Certificates of one local authority.
#[derive(Debug)]
pub(super) struct Certificates {
    authority: Arc<Authority>,
    services: Vec<(String, Issued)>,
    kept: Vec<Kept>,
}

impl Identities {
    /// The identities of `services`, and of meshctl. Keys and the authority outlive an end: a client
    /// that waits until the shop is up again is known.
    pub(super) fn make(home: &Home, services: &[String], mtls: bool) -> Result<Identities> {
        let mut names: Vec<&str> = services.iter().map(String::as_str).collect();
        names.push(caller::NAME);
        let dir = home.path("identity");
        if !mtls {
            return Ok(Identities::Tokens(ServiceKeys::open(&dir, &names)?));
        }
        let authority = Arc::new(Authority::open(&dir)?);
        let mut made = Certificates { authority, services: Vec::new(), kept: Vec::new() };
        for name in names {
            let issued = made.authority.issue(name)?;
            made.keep(Holder::Service(name.to_owned()), Some(&issued), || {});
            made.services.push((name.to_owned(), issued));
        }
        Ok(Identities::Certificates(made))
    }

    /// Who signs certificates, if connections are encrypted.
    pub(super) fn authority(&self) -> Option<&Authority> {
        match self {
            Identities::Certificates(certificates) => Some(&certificates.authority),
            Identities::Tokens(_) => None,
        }
    }

    /// What meshctl shows to the services.
    pub(super) fn caller(&self) -> Caller {
        match self {
            Identities::Tokens(keys) => Caller::Key(keys.private(caller::NAME)),
            Identities::Certificates(certificates) => {
                certificates.files(caller::NAME).map_or(Caller::Nobody, |files| {
                    let (certificate, key, ca) = (files.certificate, files.key, files.trust);
                    Caller::Certificate { certificate, key, ca }
                })
            }
        }
    }

    /// Replaces a server's certificate in time; `after` tells the server.
    pub(super) fn keep(
        &mut self,
        holder: Holder,
        issued: Option<&Issued>,
        after: impl Fn() + Send + 'static,
    ) {
        if let Identities::Certificates(certificates) = self {
            certificates.keep(holder, issued, after);
        }
    }

    /// The settings that tell a service who it is.
    pub(super) fn settings(&self, service: &str) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.display().to_string();
        match self {
            Identities::Tokens(keys) => vec![
                ("SERVICE_KEY", text(keys.private(service))),
                ("SERVICE_KEYS", text(keys.public())),
            ],
            Identities::Certificates(certificates) => {
                let Some(files) = certificates.files(service) else { return Vec::new() };
                vec![
                    ("TLS_CERT", text(files.certificate)),
                    ("TLS_KEY", text(files.key)),
                    ("TLS_CA", text(files.trust)),
                ]
            }
        }
    }
}

impl Certificates {
    fn files(&self, service: &str) -> Option<CertificateFiles> {
        let (_, issued) = self.services.iter().find(|(name, _)| name == service)?;
        Some(issued.files.clone())
    }

    fn keep(&mut self, holder: Holder, issued: Option<&Issued>, after: impl Fn() + Send + 'static) {
        if let Some(issued) = issued {
            self.kept.push(self.authority.keep(holder, issued.clone(), after));
        }
    }
}
