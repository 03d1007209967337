"""Who may call what: the rules that the contract has in its options, checked before a handler begins.

Where no certificate says who calls, a service shows a token for the callee, good for a minute, and a user
one for the whole platform. This contract is for everybody or for services; a user who is known may not, and
one who is not is nobody.
"""

import grpc
from mesh.v1 import policy_pb2

import refusals
from tokens import Tokens, Unbelieved

SERVICE_TOKEN = "x-mesh-service-token"
USER_TOKEN = "authorization"
# What everybody may ask: health and reflection.
OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")
SERVICE_LIFE, USER_LIFE = 60, 15 * 60


class Denied(Exception):
    """Somebody who is known, and may not."""

    reason = "ACCESS_DENIED"


class Access(grpc.aio.ServerInterceptor):
    """Lets those in whom the contract names. `callers`: the services that declare each method."""

    def __init__(self, here, services, callers, settings):
        self.here = here
        self.rules = dict(rule for service in services for rule in rules(service, callers))
        self.services = Tokens(settings["SERVICE_KEYS"], SERVICE_LIFE, "TOKEN_ISSUER_UNKNOWN")
        users = settings.get("USER_KEYS")
        self.users = users and Tokens(users, USER_LIFE, "TOKEN_KEY_UNKNOWN")
        self.issuer = settings.get("USER_ISSUER", "https://users.mesh.local")
        self.audience = settings.get("USER_AUDIENCE", "mesh")

    async def intercept_service(self, continuation, details):
        try:
            self.admit(details.method, details.invocation_metadata or ())
        except Unbelieved as unbelieved:
            return refusals.handler(grpc.StatusCode.UNAUTHENTICATED, unbelieved)
        except Denied as denied:
            return refusals.handler(grpc.StatusCode.PERMISSION_DENIED, denied)
        return await continuation(details)

    def admit(self, method, metadata):
        if method.startswith(OPEN):
            return
        peer = self.peer(shown(metadata, SERVICE_TOKEN))
        # None: everybody. Of what no contract names, nobody.
        callers = self.rules.get(method, frozenset())
        if callers is None or peer in callers:
            return
        user = self.user(shown(metadata, USER_TOKEN))
        if peer is None and user is None:
            words = "the call says nothing of who makes it: it needs a token"
            raise Unbelieved("TOKEN_MISSING", words)
        raise Denied("the service does not declare that it calls this, or a user may not")

    def peer(self, token):
        """The name of the service whose token it is; none if there is none."""
        if token is None:
            return None
        kid, claims = self.services.read(token)
        # Whoever has a key speaks for its owner, and for nobody else.
        if claims["iss"] != kid:
            raise Unbelieved("TOKEN_FORGED", "the service token was not signed by its issuer")
        namespace, _, name = kid.rpartition("/")
        if claims["aud"] != f"{namespace}/{self.here}":
            raise Unbelieved("TOKEN_FOR_ANOTHER", f"the service token is for {claims['aud']}")
        return name

    def user(self, header):
        """The id of the user whose token it is; none if there is none."""
        if header is None:
            return None
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unbelieved("TOKEN_MALFORMED", "the header is not `Bearer …`")
        if not self.users:
            raise Unbelieved("TOKEN_ISSUER_UNKNOWN", "nobody here knows who signs users' tokens")
        _, claims = self.users.read(token.strip())
        if claims["iss"] != self.issuer:
            raise Unbelieved("TOKEN_ISSUER_UNKNOWN", "the user's token is of another issuer")
        if claims["aud"] != self.audience:
            raise Unbelieved("TOKEN_FOR_ANOTHER", "the user's token is for somebody else")
        return claims.get("sub")


def shown(metadata, header):
    """The one value of a header; none if it is not there."""
    values = [value for name, value in metadata if name == header]
    if len(values) > 1:
        raise Unbelieved("TOKEN_MALFORMED", f"there are several {header}")
    return values[0] if values else None


def rules(service, callers):
    """For each method of a service, the services that may call it; none if everybody may."""
    default = service.GetOptions().Extensions[policy_pb2.default_access]
    for method in service.methods:
        options = method.GetOptions()
        own = options.HasExtension(policy_pb2.access)
        rule = options.Extensions[policy_pb2.access] if own else default
        named = callers.get(method.name, frozenset()) if rule.service else frozenset()
        yield f"/{service.full_name}/{method.name}", None if rule.public else named
