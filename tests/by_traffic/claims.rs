//! What is claimed of the shop behind sidecars, one after the other in one cluster. `CLAIMS=blue,pool`
//! shows those only whose words contain one of these.

use std::{panic::AssertUnwindSafe, time::Instant};

use futures::{FutureExt as _, future::LocalBoxFuture};
use serde_json::Value;

use super::{
    authorization, drain, faults, lab::Lab, plane, pools, refusals, rollout, shipped, sides, spread,
};

/// What is claimed, and what shows it: it tells what was measured.
struct Claim {
    says: &'static str,
    shown: for<'a> fn(&'a Lab) -> LocalBoxFuture<'a, String>,
}

macro_rules! claim {
    ($says:literal, $shown:path) => {
        Claim { says: $says, shown: |lab| $shown(lab).boxed_local() }
    };
}

const CLAIMS: &[Claim] = &[
    claim!("orders flow", orders_flow),
    claim!("mTLS: plaintext is refused", refusals::plaintext_is_refused_by_every_process),
    claim!(
        "authorization: every caller and RPC",
        authorization::every_pair_is_let_through_if_and_only_if_it_is_declared
    ),
    claim!(
        "end user: a bad token is refused",
        refusals::a_bad_token_is_refused_where_the_world_comes_in
    ),
    claim!("canary: by weight and header", spread::weights_and_the_header_choose_the_version),
    claim!(
        "canary: a weight is changed",
        spread::a_changed_weight_is_in_force_at_once_and_no_call_fails
    ),
    claim!(
        "blue-green: there and back",
        spread::all_calls_are_led_to_another_version_and_back_and_none_fails
    ),
    claim!("canary: a user stays on one side", sides::a_user_stays_on_one_side),
    claim!("pool bounds", pools::calls_beyond_a_pool_are_refused_at_once_and_others_go_on),
    claim!("drain: processes are replaced", drain::processes_are_replaced_and_no_call_fails),
    claim!("faults", faults::faults_reach_the_application_with_the_codes_that_it_knows),
    claim!(
        "mirror: what is copied changes nothing twice",
        spread::what_is_copied_changes_nothing_twice
    ),
    claim!("rollout: what cannot be walked is refused", rollout::what_cannot_be_walked_is_refused),
    claim!(
        "rollout: a good version takes over",
        rollout::a_good_version_takes_over_and_no_call_fails
    ),
    claim!("rollout: a failing version is put back", rollout::a_version_that_fails_is_put_back),
    claim!("rollout: a slow version is put back", rollout::a_version_that_is_slow_is_put_back),
    claim!("rollout: a walk that ends early", rollout::a_walk_that_is_ended_early_leaves_nothing),
    claim!(
        "mTLS: a caller's certificate is replaced",
        plane::a_callers_certificate_is_replaced_and_no_call_fails
    ),
    claim!(
        "mTLS: a callee's certificate is replaced",
        plane::a_callees_certificate_is_replaced_and_no_call_fails
    ),
    claim!("one enforcer", faults::one_of_the_two_repeats_and_not_the_other),
    claim!(
        "ejected control plane",
        plane::calls_go_on_without_istiod_and_it_is_heeded_when_it_is_back
    ),
    claim!("outlier detection", faults::a_process_that_fails_is_left_alone_until_it_is_well),
    // The last one: what the others have changed is put back.
    claim!("every manifest is as shipped", shipped::what_is_there_is_what_is_shipped),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifests_say_is_what_calls_show() {
    let more = ["--replicas", "catalog=2", "--canary", "catalog=v2,orders=v2"];
    let Some(lab) = Lab::with_shop("claims", &more).await else { return };
    let wanted = std::env::var("CLAIMS").unwrap_or_default();
    let mut failed = Vec::new();
    let is_wanted = |it: &&Claim| wanted.split(',').any(|part| it.says.contains(part));
    assert!(CLAIMS.iter().any(|it| is_wanted(&it)), "no claim has any of these words: {wanted}");
    for Claim { says, shown } in CLAIMS.iter().filter(is_wanted) {
        let begun = Instant::now();
        let outcome = AssertUnwindSafe(shown(&lab)).catch_unwind().await;
        let seconds = begun.elapsed().as_secs_f64();
        if outcome.is_err() {
            failed.push(*says);
            // What it has changed is none of the next one's business.
            for service in ["catalog", "orders"] {
                lab.as_shipped(service).await;
            }
        }
        let told = outcome.unwrap_or_else(|_| "NOT SHOWN".to_owned());
        println!("  {says:<52}  {told}  ({seconds:.1} s)");
    }
    assert!(failed.is_empty(), "not shown: {failed:?}");
}

async fn orders_flow(lab: &Lab) -> String {
    let demo = lab.run(&["demo", "--orders", "100", "--json"]).await;
    let report: Value = serde_json::from_slice(&demo.stdout).unwrap();
    let confirmed = report["confirmed"].as_u64().unwrap();
    let per_second = report["orders_per_second"].as_f64().unwrap();
    assert!(confirmed > 50 && report["orders"] == 100, "{report}");
    assert_eq!(report["unfinished"], 0, "{report}");
    lab.run(&["audit", "--wait", "60s"]).await;
    format!("{confirmed} of 100 confirmed, {per_second:.0}/s")
}
