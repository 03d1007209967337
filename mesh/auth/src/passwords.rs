//! Passwords: hashed with argon2id, off the threads that answer calls, and only so many at once.

use std::{fmt, sync::Arc};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use mesh_runtime::Secret;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use uuid::Uuid;

/// How many may wait for each that is at work; at 50 ms each, that is most of a second.
const WAITING: usize = 16;

/// Hashes and verifies passwords. Each takes 19 MiB and tens of milliseconds of a processor, by
/// design: so only so many are worked on at once, so many wait, and the others are refused.
///
/// ```
/// use mesh_auth::Passwords;
/// use mesh_runtime::Secret;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let passwords = Passwords::new(2)?;
/// let hash = passwords.hash(&Secret::new("correct horse")).await?;
///
/// assert!(passwords.verify(&Secret::new("correct horse"), Some(&hash)).await?);
/// assert!(!passwords.verify(&Secret::new("battery staple"), Some(&hash)).await?);
/// assert!(!passwords.verify(&Secret::new("correct horse"), None).await?, "nobody's");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Passwords {
    places: Arc<Semaphore>,
    working: Arc<Semaphore>,
    /// The hash of a password that nobody knows.
    nobodys: Arc<str>,
}

/// Why a password was neither hashed nor verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHashed {
    /// Too many wait already.
    #[error("too many passwords are being checked: try again in a second")]
    Busy,
    /// The library failed.
    #[error("the password could not be hashed")]
    Failed,
}

impl Passwords {
    /// Works on at most `at_once` passwords at the same time, and lets 16 times as many wait.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub fn new(at_once: usize) -> Result<Self, NotHashed> {
        let nobodys = hash(Uuid::new_v4().to_string().as_bytes())?;
        let at_once = at_once.max(1);
        Ok(Self {
            places: Arc::new(Semaphore::new(at_once * (1 + WAITING))),
            working: Arc::new(Semaphore::new(at_once)),
            nobodys: nobodys.into(),
        })
    }

    /// Hashes a password, with a salt of its own.
    ///
    /// # Errors
    /// [`NotHashed::Busy`] if too many wait.
    pub async fn hash(&self, password: &Secret) -> Result<String, NotHashed> {
        let password = password.clone();
        self.run(move || hash(password.expose().as_bytes())).await?
    }

    /// Says whether the password is the one that was hashed. Without a hash, because there is no
    /// such account, the answer is no and takes as long.
    ///
    /// # Errors
    /// [`NotHashed::Busy`] if too many wait.
    pub async fn verify(&self, password: &Secret, hash: Option<&str>) -> Result<bool, NotHashed> {
        let (password, known) = (password.clone(), hash.is_some());
        let hash: Arc<str> = hash.map_or_else(|| Arc::clone(&self.nobodys), Arc::from);
        self.run(move || verify(password.expose().as_bytes(), &hash) && known).await
    }

    /// Runs `work` on a thread that may block. It keeps its place until it ends, even if nobody
    /// waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotHashed> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| NotHashed::Busy)?;
        let permit = Arc::clone(&self.working).acquire_owned().await;
        let permit = permit.map_err(|_| NotHashed::Failed)?;
        let held: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (place, permit);
        let done = spawn_blocking(move || {
            let done = work();
            drop(held);
            done
        });
        done.await.map_err(|_| NotHashed::Failed)
    }
}

fn hash(password: &[u8]) -> Result<String, NotHashed> {
    let hash = Argon2::default().hash_password(password);
    hash.map(|hash: PasswordHash| hash.to_string()).map_err(|_| NotHashed::Failed)
}

fn verify(password: &[u8], hash: &str) -> bool {
    let hash = PasswordHash::new(hash);
    hash.is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_password_has_another_hash_each_time_and_all_are_argon2id() {
        let passwords = Passwords::new(2).unwrap();
        let password = Secret::new("correct horse");
        let (one, two) = tokio::join!(passwords.hash(&password), passwords.hash(&password));
        let (one, two) = (one.unwrap(), two.unwrap());

        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        for hash in [one, two] {
            assert_eq!(passwords.verify(&password, Some(&hash)).await, Ok(true));
        }
        assert_eq!(passwords.verify(&password, Some("no hash")).await, Ok(false));
    }

    #[tokio::test]
    async fn timers_go_on_where_passwords_are_hashed() {
        let passwords = Passwords::new(1).unwrap();
        let mut ticks = 0;
        let hashed = async {
            let password = Secret::new("correct horse");
            let hash = passwords.hash(&password).await.unwrap();
            for _ in 0..3 {
                passwords.verify(&password, Some(&hash)).await.unwrap();
            }
        };
        let ticking = async {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                ticks += 1;
            }
        };

        // One thread does both: whoever hashed on it would end before the first tick.
        tokio::select! {
            biased;
            () = hashed => {}
            _ = ticking => unreachable!("it has no end"),
        }

        assert!(ticks > 0);
    }

    #[tokio::test]
    async fn so_many_wait_and_the_next_is_refused() {
        let passwords = Passwords::new(1).unwrap();
        let busy = Arc::clone(&passwords.working).acquire_owned().await.unwrap();
        let password = Secret::new("correct horse");
        let mut waiting: Vec<_> =
            (0..=WAITING).map(|_| Box::pin(passwords.verify(&password, None))).collect();
        for waiting in &mut waiting {
            assert!(futures_poll(waiting.as_mut()).is_pending());
        }

        assert_eq!(passwords.verify(&password, None).await, Err(NotHashed::Busy));

        waiting.truncate(1);
        drop(busy);
        assert_eq!(waiting.remove(0).await, Ok(false), "who waited has their turn");
        assert_eq!(passwords.verify(&password, None).await, Ok(false));
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
