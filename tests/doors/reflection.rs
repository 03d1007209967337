//! `grpcurl list` and `grpcurl describe` work against every service, with either version.

use std::collections::{BTreeSet, HashMap};

use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::transport::{Channel, Endpoint};

use super::doors_of;
use crate::shop::Shop;

/// Asks one question; what the two versions differ in is only their package.
macro_rules! version {
    ($version:ident) => {
        pub mod $version {
            use tonic::{Code, transport::Channel};
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            pub async fn list(channel: Channel) -> Vec<String> {
                match ask(channel, MessageRequest::ListServices(String::new())).await {
                    MessageResponse::ListServicesResponse(list) => {
                        list.service.into_iter().map(|service| service.name).collect()
                    }
                    other => panic!("not a list: {other:?}"),
                }
            }

            pub async fn symbol(channel: Channel, name: &str) -> Result<Vec<Vec<u8>>, Code> {
                files(ask(channel, MessageRequest::FileContainingSymbol(name.to_owned())).await)
            }

            pub async fn file(channel: Channel, name: &str) -> Result<Vec<Vec<u8>>, Code> {
                files(ask(channel, MessageRequest::FileByFilename(name.to_owned())).await)
            }

            fn files(answer: MessageResponse) -> Result<Vec<Vec<u8>>, Code> {
                match answer {
                    MessageResponse::FileDescriptorResponse(files) => {
                        Ok(files.file_descriptor_proto.into_iter().map(|f| f.to_vec()).collect())
                    }
                    MessageResponse::ErrorResponse(error) => Err(Code::from(error.error_code)),
                    other => panic!("not a file: {other:?}"),
                }
            }

            async fn ask(channel: Channel, question: MessageRequest) -> MessageResponse {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                };
                let answers = ServerReflectionClient::new(channel)
                    .server_reflection_info(tokio_stream::once(request))
                    .await;
                // An unknown name ends the stream with its status.
                let answer = match answers {
                    Ok(answers) => answers.into_inner().message().await,
                    Err(status) => Err(status),
                };
                match answer {
                    Ok(answer) => answer.unwrap().message_response.unwrap(),
                    Err(status) => {
                        let error = tonic_reflection::pb::$version::ErrorResponse {
                            error_code: status.code().into(),
                            error_message: status.message().to_owned(),
                        };
                        MessageResponse::ErrorResponse(error)
                    }
                }
            }
        }
    };
}
version!(v1);
version!(v1alpha);

macro_rules! describes_every_contract {
    ($version:ident) => {{
        let shop = Shop::with_gateway(|options| options).await;
        for process in shop.platform.services() {
            let name = process.name();
            let channel = channel(shop.platform.uri(name));
            let listed: BTreeSet<_> = $version::list(channel.clone()).await.into_iter().collect();
            for contract in doors_of(name) {
                assert!(listed.contains(&contract), "{name} does not list {contract}: {listed:?}");
            }
            assert!(listed.contains("grpc.health.v1.Health"), "{name}: {listed:?}");

            let mut known = HashMap::new();
            for service in &listed {
                let files = $version::symbol(channel.clone(), service).await.unwrap();
                let file = file_of(service, &files);
                for message in messages(&file, service) {
                    let found = $version::symbol(channel.clone(), &message).await;
                    assert!(found.is_ok(), "{name}: {message} of {service}: {found:?}");
                }
                // As grpcurl does: every import, and what that imports.
                let mut wanted = file.dependency.clone();
                while let Some(path) = wanted.pop() {
                    if known.contains_key(&path) {
                        continue;
                    }
                    let files = $version::file(channel.clone(), &path).await;
                    let files = files.unwrap_or_else(|code| panic!("{name}: {path}: {code:?}"));
                    for file in decode(&files) {
                        wanted.extend(file.dependency.clone());
                        known.insert(file.name().to_owned(), file);
                    }
                }
            }
            let stranger = $version::symbol(channel, "shop.nobody.v1.NobodyService").await;
            assert_eq!(stranger.unwrap_err(), tonic::Code::NotFound, "{name}");
        }
        shop.platform.shutdown().await;
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_and_describes_every_contract() {
    describes_every_contract!(v1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_reflection_lists_and_describes_every_contract() {
    describes_every_contract!(v1alpha);
}

fn channel(uri: String) -> Channel {
    Endpoint::from_shared(uri).unwrap().connect_lazy()
}

fn decode(files: &[Vec<u8>]) -> Vec<FileDescriptorProto> {
    files.iter().map(|file| FileDescriptorProto::decode(file.as_slice()).unwrap()).collect()
}

fn file_of(service: &str, files: &[Vec<u8>]) -> FileDescriptorProto {
    let holds = |file: &FileDescriptorProto| {
        let package = file.package().to_owned();
        file.service.iter().any(|s| format!("{package}.{}", s.name()) == service)
    };
    let found = decode(files).into_iter().find(holds);
    found.unwrap_or_else(|| panic!("the file of {service} does not hold it"))
}

/// Full names of everything that the RPCs of a service take and return.
fn messages(file: &FileDescriptorProto, service: &str) -> BTreeSet<String> {
    let short = service.rsplit('.').next().unwrap();
    let service = file.service.iter().find(|s| s.name() == short).unwrap();
    assert!(!service.method.is_empty(), "{short} has no RPC");
    let types = service.method.iter().flat_map(|rpc| [rpc.input_type(), rpc.output_type()]);
    types.map(|name| name.trim_start_matches('.').to_owned()).collect()
}
