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
use uuid::Uuid;

use super::lab::Lab;

/// What an HTTP/2 client says first (RFC 9113 §3.4), with an empty SETTINGS frame; and an HTTP/1 one.
const GREETINGS: [&[u8]; 2] = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n",
];

pub async fn plaintext_is_refused_by_every_process(lab: &Lab) -> String {
    let mut ports = 0;
    for service in services::names().unwrap() {
        for process in lab.processes(&service) {
            for greeting in GREETINGS {
                let mut stream = TcpStream::connect(process.called).await.unwrap();
                stream.write_all(greeting).await.unwrap();
                let mut answer = Vec::new();
                let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
                let read =
                    read.unwrap_or_else(|_| panic!("{service} keeps a plaintext connection"));
                // Closed or reset, and without a word either way.
                assert!(answer.is_empty(), "{service} answers plaintext: {answer:?} {read:?}");
            }
            ports += 1;
        }
    }
    assert!(ports >= 7);
    format!("{ports} ports")
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
    // {"alg":"RS256","typ":"JWT","kid":"1"} {"iss":"https://shop.example.com","aud":"shop","exp":9999999999}
    let forged = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjEifQ.\
                  eyJpc3MiOiJodHRwczovL3Nob3AuZXhhbXBsZS5jb20iLCJhdWQiOiJzaG9wIiwiZXhwIjo5OTk5OTk5OTk5fQ.\
                  c2lnbmF0dXJl";

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
    let refused = [
        ("no-token".to_owned(), "Jwt is not in the form of"),
        (forged.to_owned(), "Jwks doesn't have key to match"),
        (signed(&strangers.private(), &ours.terms), "Jwks doesn't have key to match"),
        (signed(&key, &Terms::default()), "Jwt issuer is not configured"),
        (signed(&key, &elsewhere), "Audiences in Jwt are not allowed"),
    ];
    for (token, why) in &refused {
        let (status, said) = ask(Some(token)).await;
        // Envoy's words: the application has others.
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), "{said}");
        assert!(said.starts_with(why), "{said}");
    }
    format!("{} of {} by the sidecar, a good one passes", refused.len(), refused.len())
}
