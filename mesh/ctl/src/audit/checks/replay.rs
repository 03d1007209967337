//! What orders shows is what its events add up to. Both were read at one moment.

use super::super::Check;
use super::super::facts::{Facts, OrderRow, Story};
use super::{amount, order_name};

pub fn check(facts: &Facts) -> Check {
    let mut check = Check::new("replay", "orders");
    check.checked = facts.orders.len();
    for (id, order, _) in facts.orders.iter() {
        match facts.stories.get(&id) {
            None => check.find(|| order_name(id), || "has no event in the log".to_owned()),
            Some(story) => {
                if let Some(problem) = problem(order, story) {
                    check.find(|| order_name(id), || problem);
                }
            }
        }
    }
    for id in facts.stories.keys().filter(|id| facts.orders.get(**id).is_none()) {
        check.find(|| order_name(*id), || "is in the log, and is not shown".to_owned());
    }
    for id in &facts.torn {
        let problem = || "is at another version than its log, misses one, or is missing".to_owned();
        check.find(|| format!("stream {id}"), problem);
    }
    check.figures = format!("{} replayed", facts.stories.len());
    check
}

fn problem(order: &OrderRow, story: &Story) -> Option<String> {
    if let Some(fault) = &story.fault {
        return Some(fault.clone());
    }
    if story.state != order.state {
        return Some(format!("is shown as {}; its events say {}", order.state, story.state));
    }
    let shown = (&order.currency, order.total, order.refund_due);
    (shown != (&story.currency, story.total, story.refund_due)).then(|| {
        format!(
            "shows a total of {} and a refund due of {}; its events say {} and {}",
            amount(order.total, &order.currency),
            amount(order.refund_due, &order.currency),
            amount(story.total, &story.currency),
            amount(story.refund_due, &story.currency)
        )
    })
}
