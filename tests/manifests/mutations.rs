//! Every value changed, every field and item taken away, every object left out, one at a time: a rule
//! breaks each time.

use std::thread;

use serde_json::{Value, json};

use super::{CHECKS, World, rules};

#[test]
fn whatever_is_changed_or_left_out_a_rule_breaks() {
    let world = World::read();
    let changes = changes(&world);
    assert!(changes.len() > 3000, "{} changes", changes.len());

    let survivors: Vec<String> = thread::scope(|scope| {
        let parts = changes.chunks(changes.len().div_ceil(2));
        let threads: Vec<_> = parts
            .map(|part| {
                let mut world = world.clone();
                scope.spawn(move || {
                    let alive = part.iter().filter(|change| survives(&mut world, change));
                    alive.map(told).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });

    let count = survivors.len();
    assert!(survivors.is_empty(), "{count} changes break nothing:\n{}", survivors.join("\n"));
}

/// One change of one object.
struct Change {
    /// Which object.
    at: usize,
    /// Where in it, as a JSON pointer; everything if it is empty.
    place: String,
    how: How,
    object: String,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Other,
    Gone,
}

fn told(change: &Change) -> String {
    format!("{} {} {:?}", change.object, change.place, change.how)
}

fn changes(world: &World) -> Vec<Change> {
    let mut all = Vec::new();
    for (at, object) in world.objects.iter().enumerate() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]));
        let mut add = |place: &str, how| {
            let (place, object) = (place.to_owned(), name.clone());
            all.push(Change { at, place, how, object });
        };
        if object["kind"] == "Kustomization" {
            // Of a list of files, only the settings that it makes.
            walk(&object["configMapGenerator"], "/configMapGenerator", &mut add);
        } else {
            add("", How::Gone);
            walk(object, "", &mut add);
        }
    }
    all
}

fn walk(value: &Value, place: &str, add: &mut impl FnMut(&str, How)) {
    let mut below = |key: &str, value: &Value| {
        let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
        add(&place, How::Gone);
        walk(value, &place, add);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| below(&n.to_string(), value));
        }
        _ => add(place, How::Other),
    }
}

fn survives(world: &mut World, change: &Change) -> bool {
    let kept = world.objects[change.at].clone();
    let kind = kept["kind"].as_str().unwrap_or_default().to_owned();
    match (&*change.place, change.how) {
        ("", _) => _ = world.objects.remove(change.at),
        (place, How::Gone) => take_away(&mut world.objects[change.at], place),
        (place, How::Other) => {
            if let Some(value) = world.objects[change.at].pointer_mut(place) {
                *value = other(value);
            }
        }
    }
    let settings = kind == "Kustomization";
    if settings {
        world.index();
    }
    let survives = holds(world, change, &kind);
    match &*change.place {
        "" => world.objects.insert(change.at, kept),
        _ => world.objects[change.at] = kept,
    }
    if settings {
        world.index();
    }
    survives
}

/// Whether no rule breaks, the quick ones first.
fn holds(world: &World, change: &Change, kind: &str) -> bool {
    let alone = match &*change.place {
        "" => true,
        _ => rules::faults(world, &world.objects[change.at]).is_empty(),
    };
    let mut others = CHECKS.iter().filter(|check| check.of.is_none_or(|of| of == kind));
    alone && others.all(|check| (check.run)(world).is_empty())
}

fn take_away(object: &mut Value, place: &str) {
    let Some((parent, key)) = place.rsplit_once('/') else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => _ = fields.remove(&key),
        Some(Value::Array(list)) => _ = list.remove(key.parse().unwrap_or_default()),
        _ => {}
    }
}

fn other(value: &Value) -> Value {
    match value {
        Value::Bool(yes) => json!(!yes),
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::String(text) => json!(format!("{text}x")),
        _ => json!("x"),
    }
}
