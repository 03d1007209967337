//! What is repeated, when, and what that may cost: rules on a paused clock with seeded randomness.

#[cfg(test)]
mod amplification;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod hedges;
#[cfg(test)]
mod resends;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod support;
