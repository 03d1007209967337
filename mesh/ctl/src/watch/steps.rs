//! The steps of a checkout, as a watcher knows them, and at which of them somebody is killed.

use std::fmt;

use anyhow::{Result, bail};

/// One call that the orders service makes for an order.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name, as in `cargo mesh sagas`.
    pub name: &'static str,
    /// Who does it.
    pub service: &'static str,
    /// What is about to happen.
    pub doing: &'static str,
    /// What has happened.
    pub done: &'static str,
}

/// Every step, in order. The stream counts them from 1.
pub const STEPS: [Step; 6] = [
    step("reserve", "inventory", "reserve the stock", "stock reserved"),
    step("authorize", "payments", "authorize the payment", "payment authorized"),
    step("create_shipment", "shipping", "prepare the parcel", "parcel prepared"),
    step("commit", "inventory", "sell the stock", "stock sold"),
    step("capture", "payments", "capture the payment", "payment captured"),
    step("release_shipment", "shipping", "let the parcel go", "parcel may leave"),
];

/// Those that have no step of their own die while the payment is authorized.
const OTHERS: [&str; 4] = ["orders", "processor", "postgres", "nats"];
const AUTHORIZE: usize = 1;

const fn step(
    name: &'static str,
    service: &'static str,
    doing: &'static str,
    done: &'static str,
) -> Step {
    Step { name, service, doing, done }
}

/// Whom to kill, and at which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub(super) step: usize,
    pub(super) victim: &'static str,
}

impl Target {
    /// Reads the name of a step, or of somebody who has a part in it.
    pub fn parse(text: &str) -> Result<Target> {
        let by_step = STEPS.iter().position(|step| step.name == text);
        let by_service = || STEPS.iter().position(|step| step.service == text);
        if let Some(step) = by_step.or_else(by_service) {
            return Ok(Target { step, victim: STEPS[step].service });
        }
        if let Some(victim) = OTHERS.iter().find(|name| **name == text) {
            return Ok(Target { step: AUTHORIZE, victim });
        }
        let steps: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!(
            "nobody can be killed at `{text}`: say a step ({}) or who has a part in the order \
             (inventory, payments, shipping, {})",
            steps.join(", "),
            OTHERS.join(", ")
        );
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.victim, STEPS[self.step].name)
    }
}

#[cfg(test)]
mod tests {
    use super::{STEPS, Target};

    #[test]
    fn a_step_names_its_service_and_a_service_its_first_step() {
        let read = |text| Target::parse(text).unwrap().to_string();

        assert_eq!(read("capture"), "payments at capture");
        assert_eq!(read("payments"), "payments at authorize");
        assert_eq!(read("orders"), "orders at authorize");
        let refused = Target::parse("catalog").unwrap_err().to_string();
        assert!(refused.contains("catalog") && refused.contains("release_shipment"), "{refused}");
    }

    #[test]
    fn nobody_has_two_steps_in_a_row() {
        // Whoever is held for the next step must not be the one who does this one.
        assert!(STEPS.windows(2).all(|pair| pair[0].service != pair[1].service));
    }
}
