//! What calls show of a change.

use std::{collections::BTreeMap, net::SocketAddr, sync::Mutex, time::Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, StatusCode};
use mesh_testkit::browse;
use meshctl::{
    caller,
    generate::cluster::{GRPC, HEALTH, NAMESPACE, host, principal},
    services,
    users::{Users, Who},
};
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    Change,
    failing::{self, Doubles},
    given::given,
    next_of_each,
    seen::{Seen, TWICE},
    told,
};
use crate::by_traffic::{
    authorization::{BESIDE, DENIED, Pair, allowed, ingress},
    calls::{CHEAP, Line},
    lab::Lab,
    probe::Probe,
    refusals::{FORGED, PERSONAL, is_answered_in_plaintext},
};

/// One question and whether it is let through.
struct Asked {
    line: Line,
    path: String,
    expected: bool,
    /// Where the same caller asks for it in vain by GET, which is nobody's way to make a call.
    in_vain: Option<SocketAddr>,
}

/// Callers of every kind.
pub struct Ground<'a> {
    pub lab: &'a Lab,
    pub operator: BTreeMap<String, Line>,
    pub doubles: Doubles,
    stranger: Probe,
    ingress: Probe,
    asked: BTreeMap<String, Vec<Asked>>,
    /// What a caller's Envoy holds to with each service, as it is shipped.
    given: Mutex<BTreeMap<String, Value>>,
    /// What was wrong the last time, for whoever reads that something does not become well.
    said: Mutex<Vec<String>>,
}

impl<'a> Ground<'a> {
    pub async fn prepare(lab: &'a Lab) -> Self {
        let (namespace, account) = ingress();
        let stranger = Probe::start(lab, 0, "shop", "stranger").await;
        let ingress = Probe::start(lab, 1, &namespace, &account).await;
        let names = services::names().unwrap();
        let operator = names.iter().map(|name| (name.clone(), Line::to(name, lab.door())));
        let doubles = Doubles::start(&names).await;
        let (operator, asked) = (operator.collect(), BTreeMap::new());
        let (given, said) = (Mutex::default(), Mutex::default());
        let mut ground = Self { lab, operator, doubles, stranger, ingress, asked, given, said };
        let allowed: Vec<Pair> = allowed().into_iter().collect();
        ground.asked =
            names.iter().map(|name| (name.clone(), ground.questions(name, &allowed))).collect();
        ground
    }

    /// What is asked of a service: everything that is allowed, and next to each something that is not.
    fn questions(&self, service: &str, allowed: &[Pair]) -> Vec<Asked> {
        let mut all = Vec::new();
        let mut ask = |line: Line, path: &str, expected: bool, in_vain: Option<SocketAddr>| {
            all.push(Asked { line, path: path.to_owned(), expected, in_vain });
        };
        if service == services::GATEWAY {
            ask(self.ingress.line(service), CHEAP, true, None);
            ask(self.stranger.line(service), CHEAP, false, None);
            ask(self.ingress.line("orders"), CHEAP, false, None);
            return all;
        }
        for (who, _, path) in allowed.iter().filter(|(_, callee, _)| callee == service) {
            let who = who.strip_prefix("shop/").unwrap();
            let by = self.lab.processes(who)[0].calls;
            let line = Line::to(service, by);
            ask(line.clone(), path, true, Some(by));
            ask(line, BESIDE[0], false, None);
            ask(self.stranger.line(service), path, false, None);
            // The same, of somebody else.
            let is_other =
                |(other, callee, _): &&Pair| other == &format!("shop/{who}") && callee != service;
            if let Some((_, other, _)) = allowed.iter().find(is_other)
                && path != HEALTH.trim_start_matches('/')
            {
                ask(Line::to(other, by), path, false, None);
            }
        }
        all
    }

    /// Makes changes of one kind; which of them no call shows.
    pub async fn tried(&self, seen: Seen, mut changes: Vec<Change>) -> Vec<String> {
        if matches!(seen, Seen::Ejected | Seen::Broken | Seen::Long) {
            for Change { shipped, changed, .. } in &mut changes {
                failing::all_may_be_ejected(shipped);
                changed.iter_mut().for_each(failing::all_may_be_ejected);
            }
        }
        self.set(seen).await;
        self.well(seen, &next_of_each(&mut changes.clone())).await;
        let mut survivors = Vec::new();
        while !changes.is_empty() {
            let round = next_of_each(&mut changes);
            let live = self.live(seen, &round).await;
            self.change(&round, &live).await;
            survivors.extend(self.unseen(seen, &round).await);
            self.lab.apply(&live).await;
            self.well(seen, &round).await;
        }
        self.unset(seen).await;
        survivors
    }

    /// The objects as they are now: as they are shipped, but for Sidecars.
    async fn live(&self, seen: Seen, round: &[Change]) -> Vec<Value> {
        let mut live = Vec::new();
        for Change { shipped, .. } in round {
            live.push(match seen {
                Seen::Reached => failing::live(self.lab, shipped).await,
                _ => shipped.clone(),
            });
        }
        live
    }

    async fn change(&self, round: &[Change], live: &[Value]) {
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for (change, live) in round.iter().zip(live) {
            match &change.changed {
                Some(now) if now["kind"] == "Sidecar" => {
                    changed.push(failing::standing_in(live, now))
                }
                Some(now) => changed.push(now.clone()),
                None => gone.push(live.to_string()),
            }
        }
        if !changed.is_empty() {
            self.lab.apply(&changed).await;
        }
        if !gone.is_empty() {
            let text = gone.join("\n---\n");
            self.lab.kubectl().run_with(&["delete", "--filename", "-"], &text).await.unwrap();
        }
    }

    /// Waits for each change to be seen; those that are not.
    async fn unseen(&self, seen: Seen, round: &[Change]) -> Vec<String> {
        let (begun, mut times) = (Instant::now(), vec![0; round.len()]);
        let enough = seen.times();
        while times.iter().any(|times| *times < enough) && begun.elapsed() < seen.soon() {
            let looks = round.iter().zip(&times).map(async |(change, times)| {
                *times >= enough || self.shows(seen, &change.service).await
            });
            let shown = join_all(looks).await;
            for (times, shows) in times.iter_mut().zip(shown) {
                *times = if shows { *times + 1 } else { 0 };
            }
        }
        let left = round.iter().zip(times).filter(|(_, times)| *times < enough);
        left.map(|(change, _)| change.says.clone()).collect()
    }

    /// Waits until calls show nothing.
    async fn well(&self, seen: Seen, round: &[Change]) {
        let (begun, mut times) = (Instant::now(), 0);
        while times < TWICE {
            let looks = round.iter().map(|change| self.shows(seen, &change.service));
            let faults = join_all(looks).await;
            times = if faults.contains(&true) { 0 } else { times + 1 };
            if begun.elapsed() > seen.soon() * 4 {
                let ill = round.iter().zip(faults).filter(|(_, ill)| *ill);
                let ill: Vec<_> = ill.map(|(change, _)| &*change.says).collect();
                let said = self.said.lock().unwrap();
                panic!("{}: not well after {}\n{said:#?}", seen.says(), ill.join(", "));
            }
        }
    }

    /// Whether calls of a service show that something is not as it should be.
    async fn shows(&self, seen: Seen, service: &str) -> bool {
        match seen {
            Seen::Let => self.lets(service).await,
            Seen::Unnamed => {
                let answer = self.stranger.line("payments").first(BESIDE[0]).await;
                !is_denied(&answer)
            }
            Seen::Plain => is_answered_in_plaintext(&self.lab.processes("payments")[0]).await,
            Seen::Known => self.believes().await,
            Seen::Routed => {
                self.operator[service].ask(HEALTH.trim_start_matches('/')).await.is_err()
            }
            Seen::Reached => self.reaches(service).await,
            Seen::Told => told::badly(self.lab).await,
            Seen::Given => {
                let now = given(self.stranger.admin, service).await;
                self.given.lock().unwrap()[service] != now
            }
            _ => self.doubles.show(seen, service, &self.operator[service]).await,
        }
    }

    async fn lets(&self, service: &str) -> bool {
        let answers = self.asked[service].iter().map(async |asked| {
            let Asked { line, path, expected, in_vain } = asked;
            let answer = line.first(path).await;
            if let Some(by) = in_vain
                && !is_refused_by_get(*by, service, path).await
            {
                return Some(format!("{path} of {service} is let through by GET"));
            }
            let is_lost = answer.as_ref().is_err_and(|it| it.code() == Code::Unavailable);
            let is_wrong = is_lost || is_denied(&answer) == *expected;
            is_wrong.then(|| format!("{path} of {service}, expected {expected}: {answer:?}"))
        });
        let wrong: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
        if wrong.is_empty() {
            return false;
        }
        *self.said.lock().unwrap() = wrong;
        true
    }

    async fn believes(&self) -> bool {
        let (operator, line) = (self.lab.operator(), &self.operator[services::GATEWAY]);
        let users = Users::read(operator.users.as_deref().unwrap(), &operator.terms).unwrap();
        let token = users.token(Who::Customer(Uuid::now_v7())).unwrap();
        let good = format!("Bearer {}", token.expose());
        let ask =
            async |path: &str, token: &str| line.ask_with(path, &[("authorization", token)]).await;
        let forged = ask(CHEAP, &format!("Bearer {FORGED}")).await;
        let personal = ask(PERSONAL, &good).await;
        // Envoy's words: the application has others.
        let by_sidecar = |it: &Status| it.message().starts_with("Jwks doesn't have key to match");
        !forged.is_err_and(|it| by_sidecar(&it))
            || ask(CHEAP, &good).await.is_err()
            || personal
                .is_err_and(|it| matches!(it.code(), Code::Unauthenticated | Code::Unavailable))
    }

    async fn reaches(&self, service: &str) -> bool {
        let by = self.lab.processes(service)[0].calls;
        let all = services::declarations().unwrap();
        let declared = all.iter().find(|it| it.service == service).unwrap();
        let outward = declared.calls.iter().map(|call| Line::to(&call.service, by));
        let all = outward.chain([self.operator[service].clone()]);
        let answers = all.map(async |line| line.ask(HEALTH.trim_start_matches('/')).await);
        // Whoever is refused has been reached.
        let answers = join_all(answers).await;
        answers.iter().any(|answer| answer.is_err() && !is_denied(answer))
    }

    async fn set(&self, seen: Seen) {
        match seen {
            _ if seen.is_of_doubles() => self.doubles.lead(self.lab, seen).await,
            Seen::Unnamed => {
                // A service without a policy; and the one that lets the operator's program in, which
                // is about all services, and stands in for what a cluster does otherwise.
                let gone = ["delete", "authorizationpolicy", "payments", caller::NAME];
                let gone = [&gone[..], &["--namespace", "shop"]].concat();
                self.lab.kubectl().run(&gone).await.unwrap();
            }
            Seen::Given => {
                for service in self.operator.keys() {
                    let shipped = given(self.stranger.admin, service).await;
                    self.given.lock().unwrap().insert(service.clone(), shipped);
                }
            }
            _ => {}
        }
    }

    async fn unset(&self, seen: Seen) {
        match seen {
            _ if seen.is_of_doubles() => self.doubles.leave(self.lab).await,
            Seen::Unnamed => {
                self.lab.apply(&failing::shipped("payments", "AuthorizationPolicy")).await;
                self.lab.apply(&[operator()]).await;
            }
            _ => {}
        }
    }
}

/// The policy that lets the operator's program in (`mesh/ctl/src/platform/stand_in.rs`).
fn operator() -> Value {
    let from = json!([{ "source": { "principals": [principal(NAMESPACE, caller::NAME)] } }]);
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": { "name": caller::NAME, "namespace": NAMESPACE },
        "spec": { "action": "ALLOW", "rules": [{ "from": from }] },
    })
}

/// Whether the sidecar of a service refuses a request that is no gRPC call.
async fn is_refused_by_get(by: SocketAddr, service: &str, path: &str) -> bool {
    let named = format!("{}:{GRPC}", host(service));
    let request = Request::get(format!("/{path}")).header("host", named);
    let answer = browse(by, request.body(Bytes::new()).unwrap()).await;
    let Ok(answer) = answer else { return true };
    answer.status == StatusCode::FORBIDDEN && answer.text().await == DENIED
}

fn is_denied(answer: &Result<Bytes, Status>) -> bool {
    let denied = |it: &Status| it.code() == Code::PermissionDenied && it.message() == DENIED;
    answer.as_ref().is_err_and(denied)
}
