//! The breakers of all endpoints: what answers, clocks and comparisons do to them.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    super::{
        Circuit,
        breaker::{Effect, Reason},
        endpoint::Endpoint,
        outlier,
        verdict::Verdict,
    },
    Members, Pool,
};

impl Pool {
    /// Takes in what an answer says of its endpoint.
    pub(in crate::balance) fn judge(
        &self,
        endpoint: &Endpoint,
        generation: u64,
        verdict: Verdict,
        now: Instant,
    ) {
        if !self.gated {
            return;
        }
        let effect = {
            let values = self.values();
            let mut breaker = endpoint.breaker();
            // Drawn only where it can matter.
            let jitter = if verdict == Verdict::Good { 1.0 } else { self.jitter() };
            breaker.judge(now, generation, verdict, &values.breaker, jitter)
        };
        match effect {
            Effect::Nothing => {}
            Effect::Trip(reason) => self.trip(endpoint, generation, reason),
            Effect::Changed => self.changed(endpoint),
        }
    }

    /// Opens a breaker unless too many are open already.
    fn trip(&self, endpoint: &Endpoint, generation: u64, reason: Reason) {
        let members = self.members();
        let values = *self.values();
        let now = Instant::now();
        let is_out = |other: &&Arc<Endpoint>| is_gated(other) && other.key != endpoint.key;
        let out = members.active.iter().filter(is_out).count();
        let allowed = (values.outlier.max_share * members.active.len() as f64) as usize;
        let mut breaker = endpoint.breaker();
        if out >= allowed.max(1) {
            breaker.spare(now);
            drop(breaker);
            tracing::debug!(
                target_service = &*self.target,
                endpoint = %endpoint.address,
                reason = reason.as_str(),
                "endpoint fails but stays in: too many are out"
            );
            return;
        }
        let tripped = breaker.trip(now, generation, reason, &values.breaker, self.jitter());
        drop((breaker, members));
        if tripped {
            self.changed(endpoint);
        }
    }

    /// The last endpoint that took calls is gone: those that only could not be reached are tried at
    /// once instead of when their pauses end, and calls wait for what comes of it. It happens once for
    /// each endpoint that was there, so that a target that is gone altogether is left alone.
    pub(super) fn reconsider(&self, members: &Members) {
        let values = self.values().breaker;
        for endpoint in &members.active {
            if endpoint.breaker().reconsider(Instant::now(), &values) {
                endpoint.kick.notify_one();
                self.announce(endpoint);
            }
        }
    }

    /// Gives back a probe's permit that was not used up.
    pub(in crate::balance) fn return_probe(&self, endpoint: &Endpoint, generation: u64) {
        if endpoint.breaker().return_probe(generation) {
            endpoint.breaker_changed.notify_one();
        }
    }

    /// Compares the endpoints with each other and takes out those that are worse.
    pub(in crate::balance) fn compare(&self) {
        let active = self.members().active.clone();
        let tallies: Vec<_> = active.iter().map(|endpoint| endpoint.interval.take()).collect();
        let values = self.values().outlier;
        if !self.gated {
            return;
        }
        for index in outlier::find(&tallies, &values) {
            let generation = active[index].breaker().generation();
            self.trip(&active[index], generation, Reason::Outlier);
        }
    }

    /// Does what a breaker's clock asks for.
    pub(in crate::balance) fn tick(&self, endpoint: &Endpoint) {
        if endpoint.breaker().tick(Instant::now()) {
            endpoint.kick.notify_one();
            self.changed(endpoint);
        }
    }

    /// A breaker changed its state.
    fn changed(&self, endpoint: &Endpoint) {
        self.announce(endpoint);
        endpoint.touch();
        let mut members = self.members();
        if endpoint.breaker().circuit() == Circuit::Closed {
            endpoint.refresh(self.millis(Instant::now()));
        }
        self.refresh(&mut members);
    }

    pub(super) fn announce(&self, endpoint: &Endpoint) {
        let (circuit, reason, generation) = {
            let breaker = endpoint.breaker();
            (breaker.circuit(), breaker.reason(), breaker.generation())
        };
        endpoint.breaker_changed.notify_one();
        self.metrics.transition(circuit, reason.as_str());
        tracing::info!(
            target_service = &*self.target,
            endpoint = %endpoint.address,
            state = circuit.as_str(),
            reason = reason.as_str(),
            generation,
            "breaker changed"
        );
    }
}

/// Whether it is connected, and nothing keeps calls away.
pub(super) fn takes_calls(endpoint: &Arc<Endpoint>) -> bool {
    !is_gated(endpoint) && endpoint.link().is_some()
}

/// Whether its breaker keeps calls away.
pub(super) fn is_gated(endpoint: &Arc<Endpoint>) -> bool {
    endpoint.breaker().circuit() != Circuit::Closed
}
