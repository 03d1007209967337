//! Behind sidecars: waits until the gateway's believes the tokens of this shop. istiod fetches the keys of
//! their issuer from the shop itself, as it does in any cluster, and that can succeed only once the shop
//! runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mesh_local::Home;
use mesh_local::cluster::Cluster;
use mesh_rpc::Channel;
use shop::catalog::v1::ListProductsRequest;
use shop::catalog::v1::catalog_service_client::CatalogServiceClient;

use crate::output;
use crate::services;
use crate::state::State;

/// How long istiod goes on asking by itself for keys that it could not have at first.
const ASKING: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes calls until one passes with a token. Keys that istiod has given up, or those of a shop that was
/// wiped, are what it would ask for again much later: then it is started anew, as an operator would do.
///
/// # Errors
/// The sidecar refuses the tokens nevertheless: with what it says.
pub async fn wait_believed(home: &Home, state: &State) -> Result<()> {
    if !state.caller.is_behind_sidecar() {
        return Ok(());
    }
    let gateway = state.grpc(services::GATEWAY)?;
    let channel = state.caller().channels()?.to(services::GATEWAY, &[gateway])?;
    let (begun, mut restarted) = (Instant::now(), false);
    while let Err(said) = ask(channel.clone()).await {
        if begun.elapsed() > PATIENCE {
            let program = output::program();
            bail!(
                "the gateway's sidecar does not believe tokens of {}, it says: {said}; the keys are \
                 those that istiod has of jwks_uri in istio/traffic.toml. `{program} cluster down` and \
                 `{program} cluster up` begin anew",
                state.terms.issuer
            );
        }
        if begun.elapsed() > ASKING && !restarted {
            let cluster = Cluster::find(home)?.context("the cluster is gone")?;
            cluster.restart_istiod().await?;
            restarted = true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A question that anybody may ask, with the administrator's token.
async fn ask(channel: Channel) -> Result<(), String> {
    let mut catalog = CatalogServiceClient::new(channel);
    let answer =
        catalog.list_products(ListProductsRequest { page_size: 1, ..Default::default() }).await;
    answer.map(drop).map_err(|refused| refused.message().to_owned())
}
