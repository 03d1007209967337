//! Who may ask, in OpenAPI's words.

use mesh_policy::{Access, Owner};
use serde_json::{Value, json};

use super::schema::Schemas;

/// The one way to say who one is.
const SCHEME: &str = "userToken";

/// What operations refer to.
pub(super) fn schemes() -> Value {
    json!({
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token that a user was given at sign-in.",
        },
    })
}

/// Says in `operation` who may ask for it, and how everybody else is refused.
///
/// The rule in words is at the end of the description and alone in `x-access`, the permissions that
/// help in `x-permissions`: OpenAPI itself has no words for whose a thing is.
pub(super) fn describe(operation: &mut Value, access: &Access, schemas: &mut Schemas) {
    let words = access.to_string();
    let about = operation["description"].as_str().unwrap_or_default();
    let about = format!("{about}\n\nMay be called by {words}.").trim_start().to_owned();
    operation["description"] = json!(about);
    operation["x-access"] = json!(words);
    if access.public {
        operation["security"] = json!([]);
        return;
    }
    operation["security"] = json!([{ SCHEME: [] }]);
    if !access.permissions.is_empty() {
        let names: Vec<&str> = access.permissions.iter().map(AsRef::as_ref).collect();
        operation["x-permissions"] = json!(names);
    }
    let refusals = refusals(access);
    let refusals = refusals.map(|(status, why)| {
        let mut answer = schemas.error(why);
        if status == "401" {
            answer["headers"] = challenge();
        }
        (status.to_owned(), answer)
    });
    if let Some(responses) = operation["responses"].as_object_mut() {
        responses.extend(refusals);
    }
}

/// What an answer to somebody unknown has besides.
fn challenge() -> Value {
    json!({
        "WWW-Authenticate": {
            "description": "`Bearer`, and if a token was shown what is wrong with it: `error` and \
                            `error_description` (RFC 6750 §3).",
            "required": true,
            "schema": { "type": "string" },
        },
    })
}

/// The statuses of those who are not let in.
fn refusals(access: &Access) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_for_all_users = access.signed_in || access.owner == Some(Owner::Resource);
    let all = [
        (true, "401", "Nobody says who asks, or the token is not believed."),
        (!is_for_all_users, "403", "The user may not."),
        (
            access.owner == Some(Owner::Resource),
            "404",
            "There is no such thing, or it is somebody else's.",
        ),
    ];
    all.into_iter().filter(|(said, ..)| *said).map(|(_, status, why)| (status, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(access: &Access) -> Value {
        let mut operation = json!({ "description": "Does it.", "responses": { "200": {} } });
        describe(&mut operation, access, &mut Schemas::default());
        operation
    }

    fn statuses(operation: &Value) -> Vec<&str> {
        operation["responses"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn what_is_public_needs_nothing() {
        let operation = described(&Access::PUBLIC);

        assert_eq!(operation["security"], json!([]));
        assert_eq!(operation["description"], "Does it.\n\nMay be called by everybody.");
        assert_eq!(statuses(&operation), ["200"]);
    }

    #[test]
    fn everything_else_needs_a_token_and_says_whose() {
        let field = Owner::Field { name: "customer_id".into(), number: 2 };
        let manage: std::sync::Arc<str> = "orders.manage".into();
        for (access, expected) in [
            (Access { signed_in: true, ..Access::default() }, &["200", "401"][..]),
            (Access { owner: Some(Owner::Resource), ..Access::default() }, &["200", "401", "404"]),
            (Access { owner: Some(field), ..Access::default() }, &["200", "401", "403"]),
            (Access { permissions: vec![manage], ..Access::default() }, &["200", "401", "403"]),
            (Access { operator: true, ..Access::default() }, &["200", "401", "403"]),
            (Access { service: true, ..Access::default() }, &["200", "401", "403"]),
        ] {
            let operation = described(&access);

            assert_eq!(operation["security"], json!([{ SCHEME: [] }]), "{access}");
            assert_eq!(statuses(&operation), expected, "{access}");
            for status in expected {
                let says_how = operation["responses"][status]["headers"]["WWW-Authenticate"]["required"]
                    == true;
                assert_eq!(says_how, *status == "401", "{access}: {status}");
            }
            assert_eq!(operation["x-access"], access.to_string());
            let permissions = operation.get("x-permissions").map(Value::to_string);
            let named = permissions.is_some_and(|all| all == "[\"orders.manage\"]");
            assert_eq!(named, !access.permissions.is_empty(), "{access}");
        }
    }
}
