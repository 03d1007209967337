//! What the files hold: one certificate with its key, and whom to trust.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesh_runtime::{ConfigError, ServiceConfig};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::{FilesError, config};
use crate::peer::SpiffeId;

/// Where an identity lies: three PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by the intermediate ones if there are any.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
    /// The certificates of the authorities that peers are trusted by.
    pub trust: PathBuf,
}

/// What the files held when they were read.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) key: CertifiedKey,
    pub(super) server: Arc<ServerConfig>,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) id: SpiffeId,
    pub(super) ends: SystemTime,
}

/// The contents of the files, to tell whether they changed.
#[derive(PartialEq, Eq)]
pub(super) struct Contents([Vec<u8>; 3]);

impl TlsFiles {
    /// The files that a service is configured with; none if its calls are in plaintext.
    ///
    /// # Errors
    /// If some of the three are missing.
    pub fn configured(config: &ServiceConfig) -> Result<Option<Self>, ConfigError> {
        match (&config.tls_cert, &config.tls_key, &config.tls_ca) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), Some(trust)) => Ok(Some(Self {
                certificate: certificate.clone(),
                key: key.clone(),
                trust: trust.clone(),
            })),
            _ => Err(ConfigError(
                "TLS_CERT, TLS_KEY and TLS_CA go together: set all three, or none for calls in \
                 plaintext"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn read(&self) -> Result<Contents, FilesError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| FilesError::Unreadable {
                path: path.to_owned(),
                why: error.to_string(),
            })
        };
        Ok(Contents([read(&self.certificate)?, read(&self.key)?, read(&self.trust)?]))
    }
}

impl Material {
    /// Makes sense of the contents of `files`.
    pub(super) fn parse(files: &TlsFiles, contents: &Contents) -> Result<Self, FilesError> {
        let Contents([certificate, key, trust]) = contents;
        let chain = certificates(&files.certificate, certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| unusable(&files.key, why))?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|why| unusable(&files.key, why))?;
        let leaf = Leaf::parse(&chain[0]).map_err(|why| unusable(&files.certificate, why))?;
        let id = leaf.id.map_err(|why| unusable(&files.certificate, why))?;
        let key = CertifiedKey::new(chain, key);
        if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) =
            key.keys_match()
        {
            return Err(FilesError::Mismatch { key: files.key.clone() });
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.trust, trust)? {
            roots.add(certificate).map_err(|why| unusable(&files.trust, why))?;
        }
        let roots = Arc::new(roots);
        let server = config::server(&key, &roots).map_err(|why| unusable(&files.trust, why))?;
        Ok(Self { key, server, roots, id, ends: leaf.ends })
    }
}

/// What a certificate says of its holder.
pub(super) struct Leaf {
    /// The one SPIFFE id in it, or what is there instead.
    pub(super) id: Result<SpiffeId, &'static str>,
    pub(super) ends: SystemTime,
}

impl Leaf {
    pub(super) fn parse(certificate: &CertificateDer<'_>) -> Result<Self, &'static str> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| "it is no X.509 certificate")?;
        let ends = certificate.validity().not_after.timestamp();
        let ends = UNIX_EPOCH + Duration::from_secs(u64::try_from(ends).unwrap_or(0));
        Ok(Self { id: id(&certificate), ends })
    }
}

/// A SPIFFE certificate has exactly one URI (X509-SVID §2).
fn id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, &'static str> {
    let names = certificate.subject_alternative_name().map_err(|_| "its names are malformed")?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (None, _) => Err("it names no SPIFFE id"),
        (Some(uri), None) => uri.parse().map_err(|_| "its URI is no SPIFFE id"),
        (Some(_), Some(_)) => Err("it names several URIs"),
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FilesError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|why| unusable(path, why))?;
    if all.is_empty() {
        return Err(unusable(path, "it holds no certificate"));
    }
    Ok(all)
}

fn unusable(path: &Path, why: impl ToString) -> FilesError {
    FilesError::Unusable { path: path.to_owned(), why: why.to_string() }
}

/// The one provider of cryptography, whatever else in the process installs as its default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<Arc<CryptoProvider>> =
        std::sync::LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_all_three_files_or_none() {
        let config = ServiceConfig::default();
        assert_eq!(TlsFiles::configured(&config), Ok(None));

        let some = ServiceConfig { tls_cert: Some("cert.pem".into()), ..config };
        assert!(TlsFiles::configured(&some).is_err());

        let all = ServiceConfig {
            tls_key: Some("key.pem".into()),
            tls_ca: Some("ca.pem".into()),
            ..some
        };
        let files = TlsFiles::configured(&all).unwrap().unwrap();
        assert_eq!(files.trust, Path::new("ca.pem"));
    }
}
