//! gRPC-Web, by HTTP/1.1.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, header};
use prost::Message;
use shop::catalog::v1::{GetProductRequest, GetProductResponse};

use crate::support::{Gateway, MUG, Shop};

const GET: &str = "/shop.catalog.v1.CatalogService/GetProduct";

/// A message as gRPC frames it.
fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}

/// The frames of an answer: those with messages, and what the last one says.
fn frames(mut body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while let [flag, a, b, c, d, rest @ ..] = body {
        let (frame, behind) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        match flag {
            0x80 => trailers = String::from_utf8(frame.to_vec()).unwrap(),
            _ => messages.push(frame.to_vec()),
        }
        body = behind;
    }
    (messages, trailers)
}

/// Groups of four characters, of which any may be padded.
fn unpadded(text: &[u8]) -> Vec<u8> {
    text.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

async fn ask(gateway: &Gateway, kind: &str, body: Bytes) -> (String, Vec<u8>) {
    let request = Request::post(GET).header(header::CONTENT_TYPE, kind).body(body).unwrap();
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200);
    (answer.header("content-type").to_owned(), answer.bytes().await.to_vec())
}

#[tokio::test]
async fn a_call_is_answered_as_bytes_and_as_text() {
    let shop = Shop::open().await;
    let asked = framed(&GetProductRequest { sku: MUG.to_owned() });

    for kind in ["application/grpc-web", "application/grpc-web+proto"] {
        let (answered, body) = ask(&shop.gateway, kind, asked.clone()).await;
        assert_eq!(answered, "application/grpc-web+proto");
        let (messages, trailers) = frames(&body);
        let product = GetProductResponse::decode(&*messages[0]).unwrap().product.unwrap();
        assert_eq!((messages.len(), product.sku.as_str()), (1, MUG));
        assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
    }

    // In two pieces, each padded for itself.
    let (one, two) = asked.split_at(7);
    let text = [STANDARD.encode(one), STANDARD.encode(two)].concat();
    let (answered, body) = ask(&shop.gateway, "application/grpc-web-text", text.into()).await;
    assert_eq!(answered, "application/grpc-web-text+proto");
    let (messages, trailers) = frames(&unpadded(&body));
    assert!(messages.len() == 1 && trailers.contains("grpc-status: 0\r\n"), "{trailers}");
}

#[tokio::test]
async fn an_error_is_in_the_last_frame_with_its_details() {
    let shop = Shop::open().await;
    let asked = framed(&GetProductRequest { sku: "NOTHING".to_owned() });

    let (_, body) = ask(&shop.gateway, "application/grpc-web", asked).await;
    let (messages, trailers) = frames(&body);
    assert!(messages.is_empty(), "{messages:?}");
    assert!(trailers.contains("grpc-status: 5\r\n"), "{trailers}");
    let details = trailers.lines().find_map(|line| line.strip_prefix("grpc-status-details-bin: "));
    let details =
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(details.unwrap()).unwrap();
    let details = String::from_utf8_lossy(&details).into_owned();
    assert!(details.contains("PRODUCT_NOT_FOUND") && details.contains("RequestInfo"), "{details}");
}

#[tokio::test]
async fn what_is_no_base64_is_refused() {
    let shop = Shop::open().await;
    for bad in ["AAAA!!!!", "AAAAA"] {
        let (_, body) = ask(&shop.gateway, "application/grpc-web-text", bad.into()).await;
        let (_, trailers) = frames(&unpadded(&body));
        assert!(
            !trailers.contains("grpc-status: 0\r\n") && trailers.contains("grpc-status: "),
            "{bad}: {trailers}"
        );
    }
}
