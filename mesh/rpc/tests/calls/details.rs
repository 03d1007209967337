//! A peer whose words cannot be understood.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::StreamBody;
use hyper::{body::Frame, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_proto::operator::v1::{ListSagasRequest, sagas_service_client::SagasServiceClient};
use mesh_rpc::{Channel, Code, normalized, reason, refusal};
use tokio::net::TcpListener;
use tonic::Status;

/// Answers with this detail: in the headers alone, or behind a message in the trailers.
async fn peer(details: &'static str, in_trailers: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(move |_| async move {
            let mut end = HeaderMap::new();
            end.insert("grpc-status", HeaderValue::from_static("8"));
            end.insert("grpc-message", HeaderValue::from_static("no"));
            end.insert("grpc-status-details-bin", HeaderValue::from_static(details));
            let (mut headers, mut frames) = (HeaderMap::new(), Vec::<Result<_, Infallible>>::new());
            if in_trailers {
                frames.push(Ok(Frame::data(Bytes::from_static(&[0; 5]))));
                frames.push(Ok(Frame::trailers(end)));
            } else {
                headers = end;
            }
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
            let body = StreamBody::new(tokio_stream::iter(frames));
            let mut response = Response::new(body);
            *response.headers_mut() = headers;
            Ok::<_, Infallible>(response)
        });
        let server = http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
    });
    address
}

async fn ask(details: &'static str, in_trailers: bool) -> Status {
    let address = peer(details, in_trailers).await;
    let channel = Channel::new("caller", "peer", &[address]).unwrap();
    SagasServiceClient::new(channel).list_sagas(ListSagasRequest::default()).await.unwrap_err()
}

#[tokio::test]
async fn details_that_are_not_base64_are_left_out() {
    for details in ["?", "not base64!", "AAA=A", "====", "Q"] {
        for in_trailers in [false, true] {
            let status = ask(details, in_trailers).await;

            assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "no"));
            assert!(status.details().is_empty(), "{details}");
            assert_eq!((refusal(&status), reason(&normalized(status))), (None, None));
        }
    }
}

#[tokio::test]
async fn details_that_are_base64_arrive_as_they_are_whatever_they_mean() {
    for details in ["Z2FyYmFnZQ==", "Z2FyYmFnZQ"] {
        for in_trailers in [false, true] {
            let status = ask(details, in_trailers).await;

            assert_eq!(status.details(), b"garbage");
            assert_eq!((refusal(&status), reason(&status)), (None, None));
        }
    }
}
