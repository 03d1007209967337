//! `CardsService`.

use shop::processor::v1::{
    TokenizeCardRequest, TokenizeCardResponse,
    cards_service_server::{CardsService, CardsServiceServer},
};
use tonic::{Request, Response, Status};

use super::status::to_status;
use crate::{app::Cards, wire};

/// The service, ready to be mounted.
pub fn cards_service(cards: Cards) -> CardsServiceServer<impl CardsService> {
    CardsServiceServer::new(Api { cards })
}

struct Api {
    cards: Cards,
}

#[tonic::async_trait]
impl CardsService for Api {
    async fn tokenize_card(
        &self,
        request: Request<TokenizeCardRequest>,
    ) -> Result<Response<TokenizeCardResponse>, Status> {
        let command = wire::tokenize_card(request.get_ref()).map_err(to_status)?;
        let card = self.cards.tokenize(command).await.map_err(to_status)?;
        let (card_token, last_digits) = (card.token, card.last_digits);
        Ok(Response::new(TokenizeCardResponse { card_token, last_digits }))
    }
}
