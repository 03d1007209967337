//! Messages that hold what is not for everybody's eyes: whoever prints one tells nobody what that is.

use std::{collections::BTreeSet, fmt::Debug};

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use shop::{common::v1 as common, orders::v1 as orders, payments::v1 as payments};
use shop::{processor::v1 as processor, shipping::v1 as shipping, users::v1 as users};

use super::call::{POOL, ours};

const HIDDEN: &str = "nobody-may-see-this";
const SHOWN: &str = "everybody-may-see-this";

/// Fills a message's texts, and those of its messages: with `HIDDEN` where the contract says so.
fn filled(kind: &MessageDescriptor, hidden: bool) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    for field in kind.fields() {
        let hidden = hidden || is_sensitive(&field);
        let value = match field.kind() {
            Kind::String => Value::String(if hidden { HIDDEN } else { SHOWN }.to_owned()),
            Kind::Message(inner) if ours(inner.full_name()) => {
                Value::Message(filled(&inner, hidden))
            }
            _ => continue,
        };
        let value = if field.is_list() { Value::List(vec![value]) } else { value };
        message.set_field(&field, value);
    }
    message
}

fn is_sensitive(field: &FieldDescriptor) -> bool {
    let option = POOL.get_extension_by_name("mesh.v1.sensitivity").unwrap();
    field.options().has_extension(&option)
}

/// What is printed of a full message of this type; notes its name.
fn printed<M: Message + Name + Default + Debug>(asked: &mut BTreeSet<String>) -> String {
    let name = M::full_name();
    let kind = POOL.get_message_by_name(&name).unwrap();
    let bytes = filled(&kind, false).encode_to_vec();
    asked.insert(name);
    let message = M::decode(&*bytes).unwrap();
    assert!(String::from_utf8_lossy(&message.encode_to_vec()).contains(HIDDEN), "it is in there");
    format!("{message:?} {message:#?}")
}

#[test]
fn no_message_prints_what_is_personal_or_secret_in_it_or_below() {
    let mut asked = BTreeSet::new();
    let ask = &mut asked;
    let all = [
        printed::<common::Address>(ask),
        printed::<orders::PlaceOrderRequest>(ask),
        printed::<payments::AuthorizePaymentRequest>(ask),
        printed::<processor::AuthorizeChargeRequest>(ask),
        printed::<processor::TokenizeCardRequest>(ask),
        printed::<processor::TokenizeCardResponse>(ask),
        printed::<shipping::CreateShipmentRequest>(ask),
        printed::<users::ChangePasswordRequest>(ask),
        printed::<users::ConfirmEmailVerificationRequest>(ask),
        printed::<users::ConfirmPasswordResetRequest>(ask),
        printed::<users::Mail>(ask),
        printed::<users::RefreshSessionRequest>(ask),
        printed::<users::RegisterUserRequest>(ask),
        printed::<users::RequestPasswordResetRequest>(ask),
        printed::<users::SignInRequest>(ask),
        printed::<users::Tokens>(ask),
        printed::<users::UpdateProfileRequest>(ask),
        printed::<users::User>(ask),
        // Around them.
        printed::<users::GetMailResponse>(ask),
        printed::<users::ListUsersResponse>(ask),
        printed::<users::RefreshSessionResponse>(ask),
        printed::<users::SignInResponse>(ask),
    ];

    let messages = POOL.all_messages().filter(|it| ours(it.full_name()));
    let sensitive = messages.filter(|it| it.fields().any(|field| is_sensitive(&field)));
    let forgotten: Vec<_> =
        sensitive.map(|it| it.full_name().to_owned()).filter(|it| !asked.contains(it)).collect();
    assert_eq!(forgotten, [""; 0], "print them here, too");
    for text in all {
        assert!(!text.contains(HIDDEN), "{text}");
        assert!(text.contains("***"), "{text}");
    }
}

#[test]
fn what_is_for_everybody_is_printed_as_it_is() {
    let request = users::SignInRequest {
        request_id: "a-request".to_owned(),
        email: "ada@example.com".to_owned(),
        password: "correct horse".to_owned(),
        device: "a browser".to_owned(),
    };
    assert_eq!(
        format!("{request:?}"),
        "SignInRequest { request_id: \"a-request\", email: ***, password: ***, device: \"a browser\" }"
    );
    let user = users::User { state: users::UserState::Active.into(), ..Default::default() };
    assert!(format!("{user:?}").contains("state: Active"), "{user:?}");
    let address = common::Address { country_code: SHOWN.to_owned(), ..Default::default() };
    assert!(format!("{address:?}").contains(SHOWN), "{address:?}");
}
