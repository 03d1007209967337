//! What one process has lately done to a stream that somebody follows, so that whoever follows it need not
//! ask the database for what was written here a moment ago.

use std::collections::VecDeque;

use super::Recorded;

/// How many events are kept of a stream: whoever falls behind further reads them.
const KEPT: usize = 32;

/// The last events of a stream without a gap, as far as this process has committed them.
#[derive(Debug, Default)]
pub(super) struct Fresh(VecDeque<Recorded>);

impl Fresh {
    /// Adds what was committed, and returns the version of the last event that is public, if one is. What
    /// was added before is not added again; before a gap, which is what others have done, nothing is
    /// kept.
    pub(super) fn add(&mut self, events: impl Iterator<Item = Recorded>) -> Option<i32> {
        let mut public = None;
        for event in events {
            if event.public {
                public = Some(event.version);
            }
            let next = self.0.back().map(|last| last.version + 1);
            if next.is_some_and(|next| event.version < next) {
                continue;
            }
            if next.is_some_and(|next| event.version > next) {
                self.0.clear();
            }
            if self.0.len() == KEPT {
                self.0.pop_front();
            }
            self.0.push_back(event);
        }
        public
    }

    /// The events after a version; none if they are not all known here up to the version `seen`, which
    /// the stream is known to have come to.
    pub(super) fn after(&self, version: i32, seen: i32) -> Option<Vec<Recorded>> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let knows = first.version <= version + 1 && last.version > version && last.version >= seen;
        knows.then(|| self.0.iter().filter(|it| it.version > version).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::Meta;

    /// Events of these versions, of which the even ones are public.
    fn events(versions: impl IntoIterator<Item = i32>) -> impl Iterator<Item = Recorded> {
        versions.into_iter().map(|version| Recorded {
            version,
            id: Uuid::from_u128(version.unsigned_abs().into()),
            kind: "happened".to_owned(),
            public: version % 2 == 0,
            body: Bytes::new(),
            meta: Meta::default(),
            at: OffsetDateTime::UNIX_EPOCH,
        })
    }

    fn after(fresh: &Fresh, version: i32, seen: i32) -> Option<Vec<i32>> {
        let events = fresh.after(version, seen)?;
        Some(events.iter().map(|it| it.version).collect())
    }

    #[test]
    fn what_was_done_here_is_known_here() {
        let mut fresh = Fresh::default();
        assert_eq!(after(&fresh, 0, 0), None);
        assert_eq!(fresh.add(events([4, 5])), Some(4));
        assert_eq!(fresh.add(events([6, 7])), Some(6));

        assert_eq!(after(&fresh, 3, 6), Some(vec![4, 5, 6, 7]));
        assert_eq!(after(&fresh, 5, 6), Some(vec![6, 7]));
        assert_eq!(after(&fresh, 2, 6), None, "the third is not known");
        assert_eq!(after(&fresh, 7, 7), None, "nothing has happened since");
        assert_eq!(after(&fresh, 5, 8), None, "another process has done the eighth");
    }

    #[test]
    fn nothing_is_told_twice_and_nothing_over_a_gap() {
        let mut fresh = Fresh::default();
        fresh.add(events([1, 2]));
        assert_eq!(fresh.add(events([2, 3])), Some(2), "an attempt whose fate was unknown");
        assert_eq!(after(&fresh, 0, 3), Some(vec![1, 2, 3]));

        assert_eq!(fresh.add(events([5])), None);
        assert_eq!(after(&fresh, 2, 5), None);
        assert_eq!(after(&fresh, 4, 5), Some(vec![5]));
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut fresh = Fresh::default();
        fresh.add(events(1..=100));

        assert_eq!(after(&fresh, 67, 100), None);
        assert_eq!(after(&fresh, 68, 100).unwrap().len(), KEPT);
    }
}
