//! Puts everything back: from wherever a walk was left.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use meshctl::rollout::{Measured, Routes};

use super::fleet::{Fleet, Reading};
use super::{Hold, Record, Shop};
use crate::output;

/// How long the last calls' times may take to be on an Envoy's page.
const COUNTED: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(200);

/// Gives the old version all calls at once, ends the new version's process when nobody calls it any more,
/// and makes routes what is shipped. What calls to the new one have come to since `base`, if one is given.
///
/// # Errors
/// Something of it cannot be done: the rest is left, and can be tried again.
pub async fn put_back(
    shop: &Shop,
    hold: &Hold,
    routes: &Routes,
    record: &Record,
    counted: Option<(&Fleet, &Reading)>,
) -> Result<Measured> {
    let done = back(shop, routes, record, counted).await;
    let new = done.with_context(|| {
        let (program, service) = (output::program(), routes.service());
        format!("not everything is put back: `{program} canary {service} --abort` tries again")
    })?;
    hold.forget()?;
    Ok(new)
}

async fn back(
    shop: &Shop,
    routes: &Routes,
    record: &Record,
    counted: Option<(&Fleet, &Reading)>,
) -> Result<Measured> {
    if record.applied {
        shop.apply(&routes.at(0)?).await?;
        let state = crate::state::State::load(&shop.home)?;
        Fleet::of(&state, routes.service()).route(routes, 0).await?;
    }
    shop.leave(routes).await?;
    let new = match counted {
        Some((fleet, base)) => last_counts(fleet, base, routes).await,
        None => Measured::default(),
    };
    if record.applied {
        shop.apply(&routes.shipped()?).await?;
    }
    Ok(new)
}

/// What was counted when nobody calls any more: the times of calls come a moment after the calls.
async fn last_counts(fleet: &Fleet, base: &Reading, routes: &Routes) -> Measured {
    let begun = Instant::now();
    let mut last = base.clone();
    loop {
        last = fleet.read(&last).await;
        let new = last.since(base, routes.service(), routes.new_version());
        if new.timed() >= new.all() || begun.elapsed() > COUNTED {
            return new;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
