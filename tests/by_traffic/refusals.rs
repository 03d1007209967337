//! Who shows nothing, and who shows what is no good.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use mesh_testkit::browse;
use meshctl::{
    generate::cluster::{GRPC, host},
    services,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

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

    assert_eq!(ask(None).await.0, StatusCode::OK);
    for token in ["no-token", forged] {
        let (status, said) = ask(Some(token)).await;
        // Envoy's words: the application has others.
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{said}");
        assert!(said.starts_with("Jwt "), "{said}");
    }
    "401 by the sidecar".to_owned()
}
