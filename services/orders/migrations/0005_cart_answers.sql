-- What a cart held after a request that does not say so itself: its repeat is answered alike,
-- whatever has become of the cart by then. `key` is the request's in `requests`.
CREATE TABLE cart_answers (
    key   uuid PRIMARY KEY,
    lines text NOT NULL
);
