//! Who shows nothing, and who shows what is no good.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use mesh_local::UserKeys;
use mesh_testkit::browse;
use meshctl::{
    generate::cluster::{GRPC, host},
    services,
    users::{Terms, Users, Who},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::calls::Line;
use super::lab::{Lab, Process};

/// What needs a user.
pub const PERSONAL: &str = "shop.orders.v1.OrderQueriesService/ListOrders";

/// What an HTTP/2 client says first (RFC 9113 §3.4), with an empty SETTINGS frame; and an HTTP/1 one.
const GREETINGS: [&[u8]; 2] = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n",
];

/// A token that nobody has signed:
/// {"alg":"RS256","typ":"JWT","kid":"1"} {"iss":"https://shop.example.com","aud":"shop","exp":9999999999}
pub const FORGED: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.\
     eyJpc3MiOiJodHRwczovL3Nob3AuZXhhbXBsZS5jb20iLCJhdWQiOiJzaG9wIiwiZXhwIjo5OTk5OTk5OTk5fQ.\
     c2lnbmF0dXJl";

pub async fn plaintext_is_refused_by_every_process(lab: &Lab) -> String {
    let mut ports = 0;
    for service in services::names().unwrap() {
        for process in lab.processes(&service) {
            assert!(!is_answered_in_plaintext(&process).await, "{service} answers plaintext");
            ports += 1;
        }
    }
    assert!(ports >= 7);
    format!("{ports} ports")
}

/// Whether a process has a word for whoever speaks plaintext; if not, it closes or resets the connection.
pub async fn is_answered_in_plaintext(process: &Process) -> bool {
    for greeting in GREETINGS {
        let mut stream = TcpStream::connect(process.called).await.unwrap();
        stream.write_all(greeting).await.unwrap();
        let mut first = [0];
        let read = timeout(Duration::from_secs(20), stream.read(&mut first)).await;
        let read = read.expect("a plaintext connection is kept, without a word");
        if matches!(read, Ok(1)) {
            return true;
        }
    }
    false
}

pub async fn a_bad_token_is_refused_where_the_world_comes_in(lab: &Lab) -> String {
    let ask = async |token: Option<&str>| {
        let named = format!("{}:{GRPC}", host(services::GATEWAY));
        let mut request = Request::get("/v1/categories").header("host", named);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answer = browse(lab.door(), request.body(Bytes::new()).unwrap()).await.unwrap();
        let status = answer.status;
        (status, answer.text().await)
    };
    let ours = lab.operator();
    let strangers = UserKeys::open(&lab.home.path("strangers")).unwrap();
    let signed = |key: &Path, terms: &Terms| {
        let users = Users::read(key, terms).unwrap();
        users.token(Who::Customer(Uuid::now_v7())).unwrap().expose().to_owned()
    };
    let key = ours.users.clone().unwrap();
    let elsewhere = Terms { audience: "elsewhere".to_owned(), ..ours.terms.clone() };

    assert_eq!(ask(None).await.0, StatusCode::OK);
    let (status, said) = ask(Some(&signed(&key, &ours.terms))).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let issuer = Terms { audience: ours.terms.audience.clone(), ..Terms::default() };
    // What the sidecar at the door says of each, and what the application does.
    let refused = [
        ("no-token".to_owned(), "Jwt is not in the form of", "is malformed"),
        (FORGED.to_owned(), "Jwks doesn't have key to match", "is not signed with EdDSA"),
        (
            signed(&strangers.private(), &ours.terms),
            "Jwks doesn't have key to match",
            "nobody here knows the key that signed the token",
        ),
        (signed(&key, &issuer), "Jwt issuer is not configured", "is from another issuer"),
        (signed(&key, &elsewhere), "Audiences in Jwt are not allowed", "is for another audience"),
    ];
    for (token, why, _) in &refused {
        let (status, said) = ask(Some(token)).await;
        // Envoy's words: the application has others.
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), "{said}");
        assert!(said.starts_with(why), "{said}");
    }

    // Behind the door no sidecar looks at tokens, and whoever comes that far is refused all the same.
    let line = Line::to("orders", lab.door());
    let ask = async |token: &str| {
        let bearer = format!("Bearer {token}");
        line.ask_with(PERSONAL, &[("authorization", &bearer)]).await
    };
    // A good one is nobody's who is unknown, whatever else the question lacks.
    let good = ask(&signed(&key, &ours.terms)).await;
    let is_unknown = |it: &Status| matches!(it.code(), Code::Unauthenticated | Code::Unavailable);
    assert!(!good.as_ref().is_err_and(is_unknown), "{good:?}");
    for (token, _, why) in &refused {
        let status = ask(token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
        assert!(status.message().contains(why), "{status:?}");
    }
    let count = refused.len();
    format!("{count} of {count} by the sidecar and by the application; a good one passes")
}
