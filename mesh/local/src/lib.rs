//! Finds or installs PostgreSQL and nats-server, and runs them and any other process under
//! supervision on this machine. Knows no service by name.
#![warn(missing_docs)]

mod ca;
pub mod cluster;
mod database;
mod declaration;
mod files;
mod home;
pub mod http;
mod identity;
mod leftovers;
mod look;
mod methods;
mod nats;
mod needs;
mod objective;
mod permissions;
mod ports;
mod postgres;
mod progress;
mod prometheus;
mod scale;
mod servers;
mod service_keys;
mod streams;
mod supervise;
mod transcoder;
mod user;
mod user_keys;
mod wheels;

pub use ca::{Authority, CertificateFiles, Holder, Issued, Kept, NAMESPACE};
pub use database::{derived_password, ensure_database, ensure_role, role_url};
pub use declaration::{Call, Declaration, Subscription, leaves_first};
pub use files::{copy_tree, private_dir, replace, tail, write_private};
pub use home::Home;
pub use identity::Identity;
pub use leftovers::{PidFile, left_over, stop_leftovers};
pub use look::{Look, Place, Python};
pub use methods::Methods;
pub use nats::Nats;
pub use needs::{Access, Bucket, Flag, Secret};
pub use objective::{Indicator, Objective};
pub use permissions::{BrokerUser, broker_users, inbox_prefix};
pub use ports::{Ports, free_port};
pub use postgres::{Durability, Postgres};
pub use progress::Progress;
pub use prometheus::{Prometheus, Scrape};
pub use rustix::process::Signal;
pub use scale::{Exposure, Scale};
pub use servers::{Servers, Source};
pub use service_keys::ServiceKeys;
pub use streams::{connect_nats, ensure_streams, ensure_streams_with};
pub use supervise::{ProcessSpec, Status, Supervised};
pub use transcoder::Transcoder;
pub use user::User;
pub use user_keys::UserKeys;
