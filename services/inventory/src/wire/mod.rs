//! Protobuf in, domain out, and back. Parsing happens here and nowhere else.

mod blame;
mod lists;
mod read;
mod show;

pub(crate) use self::{
    blame::Blame,
    lists::{batch_get_stock, found_stock, list_movements, list_stock, movements_page, stock_page},
    read::{
        ChangeRequest, adjust_stock, change, get_reservation, get_stock, receive_stock,
        reserve_stock, set_low_stock_threshold,
    },
    show::{lines, reason, reservation, stock, threshold},
};
