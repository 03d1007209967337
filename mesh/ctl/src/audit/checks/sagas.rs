//! A saga that takes too long is parked.

use super::super::facts::Facts;
use super::super::{Check, Options};
use super::order_name;

pub fn check(facts: &Facts, options: &Options) -> Check {
    let mut check = Check::new("sagas", "sagas at work");
    let mut parked = 0;
    // A little more than the limit: the step that is tried when it passes may end.
    let limit = options.saga_limit + options.grace;
    for (id, order, _) in facts.orders.iter() {
        let Some(awake_for) = order.awake_for else { continue };
        if order.state == "NEEDS_ATTENTION" {
            parked += 1;
            continue;
        }
        check.checked += 1;
        if awake_for > limit {
            let problem = || {
                format!(
                    "its saga has been at work for {} s, and is not parked",
                    awake_for.as_secs()
                )
            };
            check.find(|| format!("{} ({})", order_name(id), order.state), problem);
        }
    }
    check.figures = format!("{parked} parked");
    check
}
