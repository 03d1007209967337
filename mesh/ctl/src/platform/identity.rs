//! Who everything that runs is: certificates with `up --mtls`, else keys for service tokens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use mesh_local::{
    Authority, CertificateFiles, Holder, Home, Issued, Kept, Secret, ServiceKeys, UserKeys,
};
use meshctl::caller::{self, Evidence};

use super::sidecars::Mesh;

/// The identities of everything that runs, and the key of its users. Certificates are replaced for as
/// long as it lives.
#[derive(Debug)]
pub(super) struct Identities {
    services: Services,
    users: UserKeys,
}

/// Who the services are.
#[derive(Debug)]
enum Services {
    /// Mutual TLS.
    Certificates(Certificates),
    /// Plaintext on loopback.
    Tokens(ServiceKeys),
    /// Those of a cluster, which their sidecars show; ours makes calls that come here.
    Sidecars(SocketAddr),
}

/// Certificates of one local authority.
#[derive(Debug)]
struct Certificates {
    authority: Arc<Authority>,
    services: Vec<(String, Issued)>,
    kept: Vec<Kept>,
}

impl Identities {
    /// The identities of `services`, and of meshctl. Keys and the authority outlive an end: a client
    /// that waits until the shop is up again is known.
    pub(super) fn make(
        home: &Home,
        services: &[String],
        mtls: bool,
        mesh: Option<&Mesh>,
    ) -> Result<Identities> {
        let mut names: Vec<&str> = services.iter().map(String::as_str).collect();
        names.push(caller::NAME);
        let dir = home.path("identity");
        let users = UserKeys::open(&dir)?;
        if let Some(operator) = mesh.map(Mesh::operator) {
            return Ok(Identities { services: Services::Sidecars(operator), users });
        }
        if !mtls {
            let services = Services::Tokens(ServiceKeys::open(&dir, &names)?);
            return Ok(Identities { services, users });
        }
        let authority = Arc::new(Authority::open(&dir)?);
        let mut made = Certificates { authority, services: Vec::new(), kept: Vec::new() };
        for name in names {
            let issued = made.authority.issue(name)?;
            made.keep(Holder::Service(name.to_owned()), Some(&issued), || {});
            made.services.push((name.to_owned(), issued));
        }
        Ok(Identities { services: Services::Certificates(made), users })
    }

    /// Who signs certificates, if connections are encrypted.
    pub(super) fn authority(&self) -> Option<&Authority> {
        match &self.services {
            Services::Certificates(certificates) => Some(&certificates.authority),
            Services::Tokens(_) | Services::Sidecars(_) => None,
        }
    }

    /// What meshctl shows to the services.
    pub(super) fn caller(&self) -> Evidence {
        match &self.services {
            Services::Tokens(keys) => Evidence::Key(keys.private(caller::NAME)),
            Services::Sidecars(ours) => Evidence::Sidecar(*ours),
            Services::Certificates(certificates) => {
                certificates.files(caller::NAME).map_or(Evidence::Nobody, |files| {
                    let (certificate, key, ca) = (files.certificate, files.key, files.trust);
                    Evidence::Certificate { certificate, key, ca }
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
        if let Services::Certificates(certificates) = &mut self.services {
            certificates.keep(holder, issued, after);
        }
    }

    /// The key with which users' tokens are signed.
    pub(super) fn users(&self) -> &UserKeys {
        &self.users
    }

    /// The settings that tell a service who it is, and who others are, and where its `secrets` are.
    pub(super) fn settings<'s>(
        &self,
        service: &str,
        secrets: &'s [Secret],
    ) -> Vec<(&'s str, String)> {
        let text = |path: PathBuf| path.display().to_string();
        let mut settings =
            vec![("USER_KEYS", text(self.users.public())), ("OPERATORS", caller::NAME.to_owned())];
        let in_files = secrets.iter().filter_map(|it| Some((&*it.name, it.file.as_ref()?)));
        settings.extend(in_files.map(|(name, file)| (name, text(self.users.beside(file)))));
        match &self.services {
            Services::Tokens(keys) => settings.extend([
                ("SERVICE_KEY", text(keys.private(service))),
                ("SERVICE_KEYS", text(keys.public())),
            ]),
            // They are told with where those are whom they call.
            Services::Sidecars(_) => {}
            Services::Certificates(certificates) => {
                let files = certificates.files(service).into_iter();
                settings.extend(files.flat_map(|files| {
                    [
                        ("TLS_CERT", text(files.certificate)),
                        ("TLS_KEY", text(files.key)),
                        ("TLS_CA", text(files.trust)),
                    ]
                }));
            }
        }
        settings
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
