//! Who is led to which version, user by user.

use std::collections::BTreeSet;

use mesh_testkit::eventually;
use meshctl::users::{Users, Who};
use uuid::Uuid;

use super::{
    calls::{CHEAP, Line, reached_version},
    lab::{Lab, Process},
};

const USERS: usize = 200;
/// Calls of each.
const EACH: u64 = 4;
/// Of the users the share on the second version, in percent.
const SHARES: [u32; 2] = [20, 50];

/// Makes calls of one user, through the gateway; how many of them reached each version.
struct Asking<'a> {
    line: Line,
    processes: &'a [Process],
    users: &'a Users,
}

impl Asking<'_> {
    async fn reached(&self, who: Option<Uuid>) -> (u64, u64) {
        let before = self.both().await;
        let token = who.map(|who| self.users.token(Who::Customer(who)).unwrap());
        let token = token.map(|token| format!("Bearer {}", token.expose()));
        for _ in 0..EACH {
            // Whatever somebody pretends to be ends at the door.
            let mut headers = vec![("x-user-bucket", "00")];
            headers.extend(token.as_deref().map(|token| ("authorization", token)));
            self.line.ask_with(CHEAP, &headers).await.unwrap();
        }
        let after = self.both().await;
        (after.0 - before.0, after.1 - before.1)
    }

    async fn both(&self) -> (u64, u64) {
        (reached_version(self.processes, "v1").await, reached_version(self.processes, "v2").await)
    }
}

pub async fn a_user_stays_on_one_side(lab: &Lab) -> String {
    let operator = lab.operator();
    let signing = Users::read(operator.users.as_deref().unwrap(), &operator.terms).unwrap();
    let processes = lab.processes("catalog");
    let line = Line::to("gateway", lab.door());
    let asking = Asking { line, processes: &processes, users: &signing };
    let all: Vec<_> = (0..USERS).map(|_| Uuid::now_v7()).collect();

    let mut second = BTreeSet::new();
    let mut shares = Vec::new();
    for share in SHARES {
        let written = format!("weights = {{ v1 = {}, v2 = {share} }}\nsticky = true", 100 - share);
        lab.route("catalog", &written).await;
        let wanted = usize::try_from(share).unwrap() * USERS / 100;
        eventually("the routes to be in force", async || {
            // Of so many users the new share adds one.
            for who in all.iter().filter(|who| !second.contains(*who)).take(60) {
                if asking.reached(Some(*who)).await.1 == EACH {
                    return true;
                }
            }
            false
        })
        .await;
        let mut now = BTreeSet::new();
        for who in &all {
            match asking.reached(Some(*who)).await {
                (EACH, 0) => {}
                (0, EACH) => _ = now.insert(*who),
                both => panic!("{who} was led to both: {both:?}"),
            }
        }
        assert!(now.is_superset(&second), "somebody was led back");
        let off = now.len().abs_diff(wanted);
        assert!(off < USERS / 10, "{} of {USERS} users for {share} %", now.len());
        shares.push(format!("{} at {share} %", now.len()));
        second = now;
    }
    // Who is nobody is led by weight.
    let mut nobody = (0, 0);
    for _ in 0..20 {
        let (first, second) = asking.reached(None).await;
        nobody = (nobody.0 + first, nobody.1 + second);
    }
    assert!(nobody.0 > 10 && nobody.1 > 10, "{nobody:?} calls of nobody at 50 %");

    lab.as_shipped("catalog").await;
    eventually("calls to be as before", async || asking.reached(None).await == (EACH, 0)).await;
    format!("of {USERS} users on v2: {}; none on both", shares.join(", "))
}
