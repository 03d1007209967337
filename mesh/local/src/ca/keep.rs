//! Certificates that are replaced long before they end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Authority, Holder, Issued};

/// Pause before a certificate that could not be issued is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Certificates that are kept fresh until this is dropped.
#[derive(Debug)]
pub struct Kept(JoinHandle<()>);

impl Authority {
    /// Issues a new certificate to `holder` whenever half to two thirds of the life of the last
    /// one, `first`, are over, and then calls `after`: for servers that have to be told.
    ///
    /// When exactly is drawn by lot, so that many services do not change at once. A failure is
    /// logged and tried again. Must be called inside a tokio runtime.
    pub fn keep(
        self: &Arc<Self>,
        holder: Holder,
        first: Issued,
        after: impl Fn() + Send + 'static,
    ) -> Kept {
        let authority = Arc::clone(self);
        Kept(tokio::spawn(async move {
            let mut issued = first;
            loop {
                let share = rand::rng().random_range(0.5..2.0 / 3.0);
                sleep(until_next(&issued, share)).await;
                issued = reissued(&authority, &holder).await;
                after();
            }
        }))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn reissued(authority: &Authority, holder: &Holder) -> Issued {
    loop {
        match authority.issue_to(holder) {
            Ok(issued) => {
                tracing::info!(?holder, "certificate reissued");
                return issued;
            }
            Err(error) => tracing::error!(?holder, %error, "certificate not reissued"),
        }
        sleep(AGAIN).await;
    }
}

/// Time until `share` of its life is over. It counts from now if it began long ago.
fn until_next(issued: &Issued, share: f64) -> Duration {
    let now = SystemTime::now();
    let life = issued.ends.duration_since(issued.begins.max(now)).unwrap_or_default();
    life.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_replaced_in_the_middle_of_its_life() {
        let now = SystemTime::now();
        let files = super::super::CertificateFiles {
            certificate: "c".into(),
            key: "k".into(),
            trust: "t".into(),
        };
        let begins = now - Duration::from_secs(60);
        let issued = Issued { files, begins, ends: now + Duration::from_secs(3600) };

        let (early, late) = (until_next(&issued, 0.5), until_next(&issued, 2.0 / 3.0));

        assert!(early <= Duration::from_secs(1800) && early > Duration::from_secs(1790));
        assert!(late <= Duration::from_secs(2400) && late > Duration::from_secs(2390));
    }
}
