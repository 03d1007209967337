//! A certificate authority of this machine's own: names services by SPIFFE ids for hours, not years.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! # let dir = std::env::temp_dir().join(format!("ca-{}", uuid::Uuid::new_v4()));
//! let authority = mesh_local::Authority::open(&dir)?;
//! let issued = authority.issue("orders")?;
//!
//! assert!(issued.files.certificate.ends_with("orders/cert.pem"));
//! # std::fs::remove_dir_all(&dir)?;
//! # Ok(())
//! # }
//! ```

mod keep;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;
use uuid::Uuid;

pub use keep::Kept;

use crate::{User, private_dir, replace};

/// The namespace of every id that is issued: `spiffe://mesh.local/<service>`.
pub const NAMESPACE: &str = "spiffe://mesh.local";

/// How long a certificate is valid.
const LIFE: Duration = Duration::from_secs(3600);
/// Certificates begin a little before now: clocks differ.
const BACKDATED: Duration = Duration::from_secs(60);
const AUTHORITY_LIFE: Duration = Duration::from_secs(2 * 365 * 86_400);
/// With less left than this, the authority is made anew when it is opened.
const AUTHORITY_LEFT: Duration = Duration::from_secs(30 * 86_400);
const TRUST: &str = "ca.pem";
const KEY: &str = "ca.key";

/// A local certificate authority, kept in a directory that only its owner may enter.
///
/// Issuing costs about a millisecond: an ECDSA P-256 key, a signature and two small files.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    life: Duration,
}

/// Where an issued certificate lies. Every path names a PEM file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key, readable by its owner only.
    pub key: PathBuf,
    /// The authority's certificate: whom to trust.
    pub trust: PathBuf,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Where it lies.
    pub files: CertificateFiles,
    /// When it begins to be valid.
    pub begins: SystemTime,
    /// When it ends.
    pub ends: SystemTime,
}

/// Whose certificate it is.
#[derive(Clone, Debug)]
pub enum Holder {
    /// A service of the mesh: `spiffe://mesh.local/<name>`, for both sides of a connection.
    Service(String),
    /// A server on loopback whose clients check host names, such as PostgreSQL: `localhost` and
    /// `127.0.0.1`. It is nobody as a client. Its files belong to `owner`, ours if not given.
    Server {
        /// The directory that takes the files; it is there already.
        dir: PathBuf,
        /// Who reads the key.
        owner: Option<User>,
    },
    /// A server that is known by names of a domain. It is nobody as a client.
    Named {
        /// The directory that takes the files; it is there already.
        dir: PathBuf,
        /// The names.
        names: Vec<String>,
    },
}

impl Authority {
    /// Opens the authority of `dir`, or founds it there.
    pub fn open(dir: &Path) -> Result<Authority> {
        private_dir(dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
        let issuer = match read(dir) {
            Some(issuer) => issuer,
            None => found(dir)?,
        };
        Ok(Authority { dir: dir.to_owned(), issuer, life: LIFE })
    }

    /// Issues certificates that are valid for `life`, at least a second, instead of an hour.
    #[must_use]
    pub fn with_life(self, life: Duration) -> Authority {
        Authority { life, ..self }
    }

    /// The PEM file of the authority's own certificate.
    pub fn trust(&self) -> PathBuf {
        self.dir.join(TRUST)
    }

    /// Issues a certificate for the service `name`, in place of the one it had.
    pub fn issue(&self, name: &str) -> Result<Issued> {
        self.issue_to(&Holder::Service(name.to_owned()))
    }

    /// Issues a certificate to `holder`, in place of the one it had.
    pub fn issue_to(&self, holder: &Holder) -> Result<Issued> {
        let now = SystemTime::now();
        self.issue_between(holder, now - BACKDATED, now + self.life)
    }

    /// Issues a certificate that is valid from `begins` to `ends`, in whole seconds.
    ///
    /// A reader may meet the new key beside the old certificate for an instant; it tells by their
    /// not matching, and reads again.
    pub fn issue_between(
        &self,
        holder: &Holder,
        begins: SystemTime,
        ends: SystemTime,
    ) -> Result<Issued> {
        let (dir, owner) = self.place(holder)?;
        let key = KeyPair::generate()?;
        let mut params = leaf(holder)?;
        params.not_before = OffsetDateTime::from(begins);
        params.not_after = OffsetDateTime::from(ends);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = CertificateFiles {
            certificate: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            trust: self.trust(),
        };
        put(&files.key, &key.serialize_pem(), owner)?;
        put(&files.certificate, &certificate.pem(), owner)?;
        Ok(Issued { files, begins, ends })
    }

    fn place<'a>(&self, holder: &'a Holder) -> Result<(PathBuf, Option<&'a User>)> {
        match holder {
            Holder::Service(name) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                ensure!(
                    !name.is_empty() && name.bytes().all(plain),
                    "`{name}` cannot be part of an id: use letters, digits, - and _"
                );
                let dir = self.dir.join(name);
                private_dir(&dir, None).with_context(|| format!("cannot use {}", dir.display()))?;
                Ok((dir, None))
            }
            Holder::Server { dir, owner } => Ok((dir.clone(), owner.as_ref())),
            Holder::Named { dir, .. } => Ok((dir.clone(), None)),
        }
    }
}

/// The authority that lies there, if it is whole and lasts.
fn read(dir: &Path) -> Option<Issuer<'static, KeyPair>> {
    let trust = fs::read_to_string(dir.join(TRUST)).ok()?;
    let age = fs::metadata(dir.join(TRUST)).ok()?.modified().ok()?.elapsed().ok()?;
    if age > AUTHORITY_LIFE.saturating_sub(AUTHORITY_LEFT) {
        return None;
    }
    let key = KeyPair::from_pem(&fs::read_to_string(dir.join(KEY)).ok()?).ok()?;
    Issuer::from_ca_cert_pem(&trust, key).ok()
}

fn found(dir: &Path) -> Result<Issuer<'static, KeyPair>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    // A name of its own: with the same name, somebody else's certificates would look forged, not
    // foreign.
    let number = Uuid::new_v4().simple().to_string();
    let name = format!("local mesh authority {}", &number[..8]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(now + AUTHORITY_LIFE);
    let certificate = params.self_signed(&key)?;
    // The key first: without a certificate nothing counts as founded.
    put(&dir.join(KEY), &key.serialize_pem(), None)?;
    put(&dir.join(TRUST), &certificate.pem(), None)?;
    Ok(Issuer::new(params, key))
}

fn leaf(holder: &Holder) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    match holder {
        Holder::Service(name) => {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
            params.distinguished_name.push(DnType::CommonName, name.as_str());
            params.subject_alt_names = vec![
                SanType::URI(format!("{NAMESPACE}/{name}").try_into()?),
                // For tools that know host names only, such as grpcurl with `-authority`.
                SanType::DnsName(name.replace('_', "-").try_into()?),
            ];
        }
        Holder::Server { .. } => {
            params.distinguished_name.push(DnType::CommonName, "localhost");
            params.subject_alt_names = vec![
                SanType::DnsName("localhost".try_into()?),
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ];
        }
        Holder::Named { names, .. } => {
            let first = names.first().context("a server without a name has no certificate")?;
            params.distinguished_name.push(DnType::CommonName, first.as_str());
            let name = |name: &String| Ok(SanType::DnsName(name.as_str().try_into()?));
            params.subject_alt_names = names.iter().map(name).collect::<Result<_>>()?;
        }
    }
    Ok(params)
}

/// A path as a URL's query holds it.
pub(crate) fn query_escaped(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let escape = |&byte: &u8| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).iter().map(escape).collect()
}

/// Replaces a file as a whole, for `owner` if given.
pub(crate) fn put(path: &Path, content: &str, owner: Option<&User>) -> Result<()> {
    let put = || {
        let Some(user) = owner else { return replace(path, content) };
        let next = path.with_extension("next");
        crate::write_private(&next, content)?;
        std::os::unix::fs::chown(&next, Some(user.uid), Some(user.gid))?;
        fs::rename(&next, path)
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}
