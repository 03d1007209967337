//! What does a consumer rely on? A story is told again and again, each time without something that its
//! providers have said. What changes how the story ends was relied on; in the end it is told with
//! nothing but that, and has to end as it did at first.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, future::LocalBoxFuture};
use meshctl::contracts::{Call, Fields, Recording, Step, describe};
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::{Value, json};

use super::{
    change::{Change, Said, Sayings},
    ear::{Ear, Heard, json as in_json, rpc},
    names::{ANY, Names, leaves, pattern},
    stories::{Part, Story},
};
use crate::shop::Shop;

/// How one telling ended.
struct End {
    outcome: Value,
    /// What the providers said about it.
    heard: Vec<Heard>,
    names: Names,
}

/// Tells one story.
struct Teller<'a> {
    shop: &'a Shop,
    ear: &'a Ear,
    story: &'a Story,
    /// Where nothing changes it, it is set up once.
    given: Option<Names>,
    first: Value,
}

/// Tells a story, and adds to the recording what was found.
pub async fn learn(shop: &Shop, ear: &Ear, story: &Story, recording: &mut Recording) {
    let given = if story.only_reads { Some((story.given)(shop).await) } else { None };
    let mut teller = Teller { shop, ear, story, given, first: Value::Null };
    let end = teller.tell(Change::Nothing).await;
    teller.first = end.outcome.clone();
    let said = said(&end.heard);
    let mut known = relied_on(recording, &said);
    if !teller.ends_as_ever(Change::Only(known.clone())).await {
        for (of, all) in &said {
            teller.one(of, all, &mut known).await;
        }
    }
    let last = teller.tell(Change::Only(known.clone())).await;
    assert_eq!(
        last.outcome, teller.first,
        "“{}”: {} relies on more than {known:#?}, in a way that is not seen by leaving out one thing \
         at a time",
        story.name, story.consumer
    );
    note(recording, &end.heard, &known);
    // What differs from one time to the next is seen when everything is set up anew.
    let again =
        if teller.given.take().is_some() { teller.tell(Change::Nothing).await } else { last };
    let steps = steps(&end, &known, &again);
    recording.stories.push(meshctl::contracts::Story { name: story.name.to_owned(), steps });
}

impl Teller<'_> {
    async fn tell(&self, change: Change) -> End {
        self.ear.begin(change);
        let given = match &self.given {
            Some(given) => given.clone(),
            None => (self.story.given)(self.shop).await,
        };
        let told = (self.story.tell)(self.shop, &given).await;
        let names = given.with(&told.names);
        let heard = self.ear.heard().into_iter().filter(|heard| self.belongs(heard, &names));
        let heard = in_order(heard.collect());
        // What is nobody's name is another one each time.
        let outcome = names.clone().hide(&told.outcome);
        End { outcome, heard, names }
    }

    /// Whether it belongs to the story, and not to something that goes on beside it.
    fn belongs(&self, heard: &Heard, names: &Names) -> bool {
        let text = match (heard, self.story.part) {
            (Heard::Answer { request, .. } | Heard::Refusal { request, .. }, Part::Calls) => {
                in_json(request).to_string()
            }
            (Heard::Event { message, .. }, Part::Events) => in_json(message).to_string(),
            _ => return false,
        };
        let ids = text.split('"').filter(|word| uuid::Uuid::try_parse(word).is_ok());
        names.occur_in(&text) || ids.count() == 0
    }

    async fn ends_as_ever(&self, change: Change) -> bool {
        self.tell(change).await.outcome == self.first
    }

    /// Finds what of this RPC's or event's sayings is relied on.
    async fn one(&self, of: &str, all: &BTreeSet<Said>, known: &mut Sayings) {
        let only = Sayings::from([(of.to_owned(), known[of].clone())]);
        if self.ends_as_ever(Change::Only(only)).await {
            return;
        }
        let paths: BTreeSet<&str> = all
            .iter()
            .filter_map(|said| match said {
                Said::Field(path) => Some(path.as_str()),
                _ => None,
            })
            .collect();
        self.below(of, "", &paths, known).await;
        for said in all.iter().filter(|said| !matches!(said, Said::Field(_))) {
            if !known[of].contains(said) && !self.ends_as_ever(without(of, said)).await {
                known.get_mut(of).unwrap().insert(said.clone());
            }
        }
    }

    /// Finds which fields below a path are relied on; true if there are some.
    fn below<'b>(
        &'b self,
        of: &'b str,
        path: &'b str,
        leaves: &'b BTreeSet<&'b str>,
        known: &'b mut Sayings,
    ) -> LocalBoxFuture<'b, bool> {
        async move {
            let mut found = false;
            let parts: BTreeSet<&str> = leaves
                .iter()
                .filter_map(|leaf| {
                    let rest = leaf.strip_prefix(path)?;
                    let end = rest.find('.').map_or(leaf.len(), |end| path.len() + end);
                    (!rest.is_empty()).then(|| &leaf[..end])
                })
                .collect();
            for part in parts {
                let said = Said::Field(part.to_owned());
                let inside = format!("{part}.");
                let within =
                    |known: &Said| matches!(known, Said::Field(path) if path.starts_with(&inside));
                if known[of].contains(&said) {
                    found = true;
                    continue;
                }
                let has_known = known[of].iter().any(within);
                if !has_known && self.ends_as_ever(without(of, &said)).await {
                    continue;
                }
                found = true;
                if leaves.contains(part)
                    || !(self.below(of, &inside, leaves, known).await || has_known)
                {
                    known.get_mut(of).unwrap().insert(said);
                }
            }
            found
        }
        .boxed_local()
    }
}

fn without(of: &str, said: &Said) -> Change {
    Change::Without(Sayings::from([(of.to_owned(), BTreeSet::from([said.clone()]))]))
}

/// Everything that was said.
fn said(heard: &[Heard]) -> Sayings {
    let mut all = Sayings::new();
    let fields = |message: &DynamicMessage| leaves(&in_json(message)).into_iter().map(Said::Field);
    for heard in heard {
        match heard {
            Heard::Answer { rpc, answer, .. } => {
                all.entry(rpc.clone()).or_default().extend(fields(answer));
            }
            Heard::Event { event, message } => {
                all.entry(event.clone()).or_default().extend(fields(message));
            }
            Heard::Refusal { rpc, refusal, .. } => {
                let of = all.entry(rpc.clone()).or_default();
                of.insert(Said::Reason(refusal.reason.clone()));
                let keys = refusal.metadata.keys();
                of.extend(keys.map(|key| Said::Metadata(refusal.reason.clone(), key.clone())));
            }
        }
    }
    all
}

/// What other stories have already shown to be relied on, of those who said something in this one.
fn relied_on(recording: &Recording, said: &Sayings) -> Sayings {
    let known = |of: &String| {
        let mut known = BTreeSet::new();
        let call = recording.calls.get(of);
        let reads = call.map(|call| &call.reads).or_else(|| recording.events.get(of));
        known.extend(reads.into_iter().flatten().map(|(path, _)| Said::Field(path.clone())));
        for (reason, metadata) in call.into_iter().flat_map(|call| &call.reasons) {
            known.insert(Said::Reason(reason.clone()));
            let keys = metadata.iter();
            known.extend(keys.map(|key| Said::Metadata(reason.clone(), key.clone())));
        }
        (of.clone(), known)
    };
    said.keys().map(known).collect()
}

/// Writes down who was asked what, and what of the answers was relied on.
fn note(recording: &mut Recording, heard: &[Heard], known: &Sayings) {
    for heard in heard {
        match heard {
            Heard::Answer { rpc: path, request, .. }
            | Heard::Refusal { rpc: path, request, .. } => {
                let call: &mut Call = recording.calls.entry(path.clone()).or_default();
                for field in leaves(&in_json(request)) {
                    let shape = describe(&request.descriptor(), &field).unwrap();
                    call.sends.insert(field, shape);
                }
                let output = &rpc(path).output;
                for said in &known[path] {
                    match said {
                        Said::Field(field) => {
                            let shape = describe(output, field).unwrap();
                            call.reads.insert(field.clone(), shape);
                        }
                        Said::Reason(reason) => {
                            call.reasons.entry(reason.clone()).or_default();
                        }
                        Said::Metadata(reason, key) => {
                            let keys = call.reasons.entry(reason.clone()).or_default();
                            if !keys.contains(key) {
                                keys.push(key.clone());
                            }
                        }
                    }
                }
            }
            Heard::Event { event, message } => {
                let fields: &mut Fields = recording.events.entry(event.clone()).or_default();
                for said in &known[event] {
                    if let Said::Field(field) = said {
                        let shape = describe(&message.descriptor(), field).unwrap();
                        fields.insert(field.clone(), shape);
                    }
                }
            }
        }
    }
}

/// What was heard, for a provider to say again. What was another one in the second telling is any.
fn steps(end: &End, known: &Sayings, second: &End) -> Vec<Step> {
    let mut steps = written(end, known);
    let mut again = written(second, known).into_iter();
    for step in &mut steps {
        let fields = match (&mut *step, again.next()) {
            (Step::Answered { fields, .. }, Some(Step::Answered { fields: second, .. }))
            | (Step::Heard { fields, .. }, Some(Step::Heard { fields: second, .. })) => {
                (fields, second)
            }
            _ => continue,
        };
        for (path, value) in fields.0.iter_mut() {
            if fields.1.get(path) != Some(value) {
                *value = json!(ANY);
            }
        }
    }
    steps
}

fn written(end: &End, known: &Sayings) -> Vec<Step> {
    let mut names = end.names.clone();
    let mut steps: Vec<Step> = Vec::new();
    for heard in &end.heard {
        let step = match heard {
            Heard::Answer { rpc, request, answer } => {
                let request = names.hide(&in_json(request));
                let fields = patterns(&known[rpc], &in_json(answer), &names);
                Step::Answered { rpc: rpc.clone(), request, fields }
            }
            Heard::Refusal { rpc, request, refusal } => {
                let request = names.hide(&in_json(request));
                let relied = |key: &String| {
                    let said = Said::Metadata(refusal.reason.clone(), key.clone());
                    known[rpc].contains(&said)
                };
                let metadata = refusal.metadata.iter().filter(|(key, _)| relied(key));
                let metadata = metadata.map(|(key, value)| {
                    let hidden = names.clone().hide(&json!(value));
                    (key.clone(), hidden.as_str().unwrap().to_owned())
                });
                Step::Refused {
                    rpc: rpc.clone(),
                    request,
                    code: refusal.code.to_owned(),
                    reason: refusal.reason.clone(),
                    metadata: metadata.collect(),
                }
            }
            Heard::Event { event, message } => {
                let fields = patterns(&known[event], &in_json(message), &names);
                Step::Heard { event: event.clone(), fields }
            }
        };
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    steps
}

fn patterns(known: &BTreeSet<Said>, message: &Value, names: &Names) -> BTreeMap<String, Value> {
    let found = known.iter().filter_map(|said| match said {
        Said::Field(path) => Some((path.clone(), pattern(message, path, names)?)),
        Said::Reason(_) | Said::Metadata(..) => None,
    });
    found.collect()
}

/// Questions that were asked side by side are put in one order.
fn in_order(mut heard: Vec<Heard>) -> Vec<Heard> {
    let question = |heard: &Heard| match heard {
        Heard::Answer { rpc: path, request, .. } | Heard::Refusal { rpc: path, request, .. } => {
            (!rpc(path).changes).then(|| format!("{path} {}", in_json(request)))
        }
        Heard::Event { .. } => None,
    };
    for run in heard.chunk_by_mut(|a, b| question(a).is_some() && question(b).is_some()) {
        run.sort_by_key(question);
    }
    heard
}
