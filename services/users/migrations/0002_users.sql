-- Persons with accounts, as they are now. E-mail address, name and telephone number are personal
-- data: they are here, in `former_users`, and nowhere else.
CREATE TABLE users (
    user_id        uuid        PRIMARY KEY,
    email          text        COLLATE "C" NOT NULL UNIQUE,
    email_verified bool        NOT NULL,
    name           text        NOT NULL,
    phone          text        NOT NULL,
    language       text        NOT NULL,
    newsletter     bool        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('ACTIVE', 'DEACTIVATED')),
    version        int         NOT NULL,
    told           int         NOT NULL DEFAULT 0,  -- events of the account so far
    digest         bytea       NOT NULL,            -- of the request that made it
    tokens_after   timestamptz,                     -- access tokens of until then are revoked
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE INDEX users_state ON users (state, user_id);

-- What they were before their changes: the first outcome of a request is answered from here.
CREATE TABLE former_users (
    user_id        uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    version        int         NOT NULL,
    email_verified bool        NOT NULL,
    name           text        NOT NULL,
    phone          text        NOT NULL,
    language       text        NOT NULL,
    newsletter     bool        NOT NULL,
    state          text        NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (user_id, version)
);

-- Hashes of passwords (argon2id, PHC string format).
CREATE TABLE credentials (
    user_id    uuid        PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    hash       text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Sign-ins. A refresh token names its session and `generation`, and is good once.
CREATE TABLE sessions (
    session_id   uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    device       text        NOT NULL,
    digest       bytea       NOT NULL,  -- of the request that began it
    generation   bigint      NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    ended_at     timestamptz
);
CREATE INDEX sessions_open ON sessions (user_id, session_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_refreshed ON sessions (refreshed_at);

-- What some may do, and by which roles.
CREATE TABLE permissions (
    permission  text COLLATE "C" PRIMARY KEY,
    description text NOT NULL
);
CREATE TABLE roles (
    role        text COLLATE "C" PRIMARY KEY,
    description text NOT NULL
);
CREATE TABLE role_permissions (
    role       text COLLATE "C" REFERENCES roles,
    permission text COLLATE "C" REFERENCES permissions,
    PRIMARY KEY (role, permission)
);
CREATE TABLE role_grants (
    user_id    uuid        REFERENCES users ON DELETE CASCADE,
    role       text        COLLATE "C" REFERENCES roles,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, role)
);
INSERT INTO permissions (permission, description) VALUES
    ('catalog.manage', 'change what is sold'),
    ('mails.deliver', 'read mails with tokens, to deliver them'),
    ('operator', 'run sagas and dead letters by hand'),
    ('orders.manage', 'see and change the orders of others'),
    ('payments.manage', 'see payments, and give money back'),
    ('roles.manage', 'say who has which role'),
    ('shipping.carrier', 'report where parcels are'),
    ('stock.manage', 'receive and correct stock'),
    ('users.manage', 'see and deactivate the accounts of others');
INSERT INTO roles (role, description) VALUES
    ('accountant', 'looks after payments'),
    ('administrator', 'may do everything but read the mails of others'),
    ('carrier', 'brings parcels'),
    ('mailer', 'brings mails'),
    ('merchant', 'decides what is sold, and counts it'),
    ('support', 'helps customers');
INSERT INTO role_permissions (role, permission) VALUES
    ('accountant', 'payments.manage'),
    ('carrier', 'shipping.carrier'),
    ('mailer', 'mails.deliver'),
    ('merchant', 'catalog.manage'),
    ('merchant', 'stock.manage'),
    ('support', 'orders.manage'),
    ('support', 'users.manage');
-- Whoever reads a mail with a token can take the account over: for whoever delivers it, and nobody else.
INSERT INTO role_permissions (role, permission)
    SELECT 'administrator', permission FROM permissions WHERE permission <> 'mails.deliver';

-- Mails that are to be delivered, until their token is used or has expired. The token is made from
-- the id and the secret, and is not kept.
CREATE TABLE mails (
    mail_id    uuid        PRIMARY KEY,
    user_id    uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    kind       text        NOT NULL CHECK (kind IN ('PASSWORD_RESET', 'EMAIL_VERIFICATION')),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX mails_open ON mails (user_id, kind) WHERE used_at IS NULL;
CREATE INDEX mails_expire ON mails (expires_at);

-- Attempts that failed or have not succeeded yet, by a digest of who is guessed or who guesses.
CREATE TABLE attempts (
    key           bytea       PRIMARY KEY,
    count         int         NOT NULL,
    last_at       timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
);
CREATE INDEX attempts_last ON attempts (last_at);

-- Keys that sign access tokens, from `signs_at` until the next one does, and published before and
-- after. Who can read this table can pose as anybody.
CREATE TABLE signing_keys (
    kid        text        PRIMARY KEY,
    pkcs8      bytea       NOT NULL,
    signs_at   timestamptz NOT NULL
);
CREATE INDEX signing_keys_at ON signing_keys (signs_at);

-- By which refresh tokens and the tokens of mails are made. So it is for this table.
CREATE TABLE secrets (
    name   text  PRIMARY KEY,
    secret bytea NOT NULL
);

-- What verifiers of tokens are to be told, or are to be told again if the bucket was lost.
CREATE TABLE revocations (
    revocation_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text        NOT NULL CHECK (kind IN ('SESSION', 'SUBJECT')),
    id            uuid        NOT NULL,
    revoked_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,  -- no token that it ends lives longer
    told          bool        NOT NULL DEFAULT false
);
CREATE INDEX revocations_untold ON revocations (revocation_id) WHERE NOT told;
CREATE INDEX revocations_expire ON revocations (expires_at);
