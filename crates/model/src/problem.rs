//! The one table of error codes: what each means, and what to do about it.
//!
//! Rooms name a row of it in their errors; servers answer with its status (RFC 9457 problem details), the command
//! line prints it, and the reference page is generated from it. A code is never given a second meaning.
//! Families: C1 authentication, C2 authorization, C3 policy files, C4 gateway and MCP, C5 store and log,
//! C6 registration, C7 configuration and command line.

use serde::{Deserialize, Serialize};

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// `C` and four digits.
    pub code: &'static str,
    /// The HTTP status it is answered with.
    pub status: u16,
    /// What went wrong, in a few words that hold for every instance.
    pub title: &'static str,
    /// What to do, where the instance does not know better.
    pub help: &'static str,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal, $help:literal;)*) => {
        $($(#[$doc])* pub const $name: Row =
            Row { code: $code, status: $status, title: $title, help: $help };)*

        /// Every row, in the order of the codes.
        pub const TABLE: &[Row] = &[$($name),*];
    };
}

table! {
    /// A door was knocked at without a token.
    NO_TOKEN = "C1001", 401, "the request carries no access token",
        "get a token at the token endpoint, or start the client through `chancery mcp bridge`";
    /// The token is malformed, forged, foreign or expired.
    BAD_TOKEN = "C1002", 401, "the access token is not valid here",
        "get a new token for exactly this resource";
    /// The proof is missing, malformed, replayed, or of another key.
    BAD_PROOF = "C1003", 401, "the token was sent without a valid proof of its key",
        "send a fresh DPoP proof (RFC 9449) signed with the key the token is bound to";
    /// The proof lacks a current nonce of this server.
    NEEDS_NONCE = "C1004", 401, "the proof needs this server's nonce",
        "repeat the request with the nonce of the DPoP-Nonce response header";
    /// Session ended, expired, idle, superseded or unknown.
    SESSION_OVER = "C1005", 401, "the session is over",
        "get a new token: it opens a new session";
    /// The agent is not active, or its time is over.
    AGENT_STOPPED = "C1006", 401, "the agent may not act at present",
        "its sponsor may resume or extend it, or resume its blueprint: `chancery agent get NAME` says what stopped it";
    /// A bearer token from an agent that may not use one.
    BEARER_REFUSED = "C1007", 401, "plain bearer tokens are not accepted from this agent",
        "send DPoP proofs, or let its owner allow it: `chancery agent bearer NAME --allow`";
    /// Client authentication at the token endpoint failed.
    BAD_CLIENT = "C1008", 401, "the client could not be authenticated",
        "sign the client assertion with the enrolled key, with the issuer as its audience";
    /// The token request is malformed.
    BAD_TOKEN_REQUEST = "C1009", 400, "the token request is not understood",
        "send a grant type of the metadata with its parameters, each once, and exactly one resource";
    /// The requested resource is none of ours.
    BAD_RESOURCE = "C1010", 400, "no such resource can be asked for",
        "ask for the MCP URL or the access URL that the protected resource metadata states";
    /// Proof memory or another bounded store of the door is full.
    TOO_BUSY = "C1011", 503, "the server cannot check more requests at this moment",
        "repeat the request in a few seconds";
    /// `authorization_details` that cannot be read, or that ask for more than there is.
    BAD_LIMITS = "C1020", 400, "the authorization details cannot be granted",
        "ask for details of the types in the metadata, within those of the token you exchange";
    /// A token, code or assertion that was to be exchanged for a token.
    BAD_GRANT_TOKEN = "C1021", 400, "what was to be exchanged for a token is not valid for that",
        "get a new one, for this client and this server, and use it in time";
    /// A link of a delegation chain that the rules do not allow.
    MAY_NOT_DELEGATE = "C1022", 403, "the agent may not act for the other",
        "an administrator may grant it: `chancery grant create --template delegate`";
    /// A sign-in link that is wrong, used, replaced or expired.
    BAD_LINK = "C1030", 403, "the sign-in link is not valid",
        "ask an administrator for a new one: `chancery person link NAME`";
    /// A page for people was asked for without a login.
    NOT_SIGNED_IN = "C1031", 401, "nobody is signed in",
        "ask an administrator for a sign-in link, and open it in this browser";
    /// A form that did not come from the page that we served to this login.
    FOREIGN_FORM = "C1032", 403, "the form was not sent from our own page",
        "open the page again and send it from there";
    /// An authorization request that cannot be answered by sending the person back.
    BAD_AUTHORIZATION_REQUEST = "C1033", 400, "the authorization request is not understood",
        "tell the author of the program that sent you here";
    /// The client, or where it wants people to be sent back to, is not known.
    UNKNOWN_CLIENT = "C1034", 400, "the program that sent you here is not known",
        "an administrator can register its address for its agent";
    /// A user code that is wrong, used or expired.
    BAD_USER_CODE = "C1035", 403, "the code is not valid",
        "start again on the device, and enter the code that it shows now";
    /// Presence in a session that is somebody else's.
    NOT_THEIRS = "C1036", 403, "the session is not one that this person answers for",
        "the person in whose name it runs, or its agent's sponsor or owner, can confirm";
    /// Too many wrong codes.
    TOO_MANY_ATTEMPTS = "C1037", 429, "too many wrong codes",
        "wait ten minutes, or sign in anew";
    /// The person has not answered yet, or the answer was no.
    NOT_ALLOWED_YET = "C1038", 400, "the person has not allowed it",
        "go on asking, not more often than `interval` says, until there is an answer";
    /// A platform's token is forged, foreign, expired, or not of the form it has to be.
    BAD_ATTESTATION = "C1040", 401, "the platform's token is not accepted",
        "get a fresh token of the platform for exactly this server's issuer as its audience";
    /// A platform's token is genuine, and no trust source is about that workload.
    NOT_TRUSTED = "C1041", 403, "no trust source is about this workload",
        "see with `chancery trust list` what is trusted; an administrator may add to it: `chancery trust add`";
    /// The keys of a platform cannot be fetched.
    NO_ISSUER_KEYS = "C1042", 503, "the platform's keys cannot be had at this moment",
        "see that the issuer's addresses can be reached from the server, or state the keys: `chancery trust add --jwks FILE`";
    /// A trust source that would trust more than one workload, or that cannot be checked.
    BAD_TRUST_SOURCE = "C1043", 422, "the trust source is not exact",
        "name one workload letter by letter: one issuer, one subject";
    /// There is none.
    NO_TRUST_SOURCE = "C1044", 404, "there is no such trust source",
        "see which there are: `chancery trust list`";
    /// The name is taken.
    TRUST_SOURCE_EXISTS = "C1045", 409, "there is a trust source of that name",
        "choose another name, or remove that one first: `chancery trust remove NAME`";
    /// A client id that no agent has.
    NO_CLIENT = "C1046", 400, "no agent has that client id",
        "an administrator adopts a client for an agent: `chancery agent client NAME --metadata URL`";
    /// A client metadata document that cannot be had or used.
    BAD_CLIENT_DOCUMENT = "C1047", 400, "the client's metadata document cannot be used",
        "see that its URL answers with a document as draft-ietf-oauth-client-id-metadata-document wants it";
    /// A redirect address that may not be one, or a client that is another agent's.
    BAD_CLIENT_DATA = "C1048", 422, "the client cannot be registered like that",
        "use https, or http on a loopback address, without a fragment";

    /// A certificate that is to be registered is none, or not in force, or said in two ways.
    BAD_CERTIFICATE = "C1050", 400, "the certificate cannot be registered",
        "send one PEM certificate that is valid now, or one DNS name or URI";
    /// Another agent has this certificate.
    CERTIFICATE_TAKEN = "C1051", 409, "the certificate is another agent's",
        "give each agent a certificate of its own";

    /// What an identity provider says is not for us, not for this client, used, expired, or not verified.
    BAD_IDENTITY_ASSERTION = "C1060", 400, "the identity assertion is not accepted",
        "ask the identity provider for a new one: for this server as its audience and this client as its `client_id`";
    /// The assertion is good, and its subject is nobody here.
    UNKNOWN_ACCOUNT = "C1061", 403, "no active person here has this account",
        "an administrator can add it: `chancery person account add NAME --issuer URL --subject TEXT`";
    /// The provider is not one of the configuration.
    NO_PROVIDER = "C1062", 422, "there is no such identity provider",
        "name its issuer, letter by letter, in `[[delegation.providers]]` of the configuration";
    /// One account is one person's.
    ACCOUNT_TAKEN = "C1063", 409, "the account is a person's already",
        "see whose: `chancery person account list NAME`";
    /// There is none.
    NO_ACCOUNT = "C1064", 404, "the person has no such account",
        "see those they have: `chancery person account list NAME`";

    /// Clients do not register themselves here.
    REGISTRATION_OFF = "C1070", 403, "clients cannot register themselves here",
        "state the client yourself: `chancery agent client NAME`, or set `oauth.registration` in the configuration";
    /// A registration code that is wrong, used, replaced or expired.
    BAD_REGISTRATION_CODE = "C1071", 401, "the registration code is not valid",
        "an administrator makes another one: `chancery agent client NAME --registration-code`";
    /// Client metadata (RFC 7591) that are not taken.
    BAD_CLIENT_METADATA = "C1072", 400, "the client's metadata cannot be registered",
        "send what a public client has: `redirect_uris` with https or loopback addresses, and no secret";

    /// There is none.
    NO_GROUP = "C1080", 404, "no such group",
        "see `chancery group list`";
    /// A name is a group's or a person's, never both, and never given twice.
    GROUP_EXISTS = "C1081", 409, "the name is taken by a group or a person",
        "choose another: names are never reused";
    /// The person's roles do not cover it.
    MISSING_ROLE = "C1082", 403, "none of the person's roles covers it",
        "see `chancery person list` for who may, or let an administrator add the role: `chancery person role add NAME ROLE`";
    /// It is done at the admin socket and nowhere else.
    HOST_ONLY = "C1083", 403, "this is done on the server's host only",
        "use `chancery` on the host, as the user the server runs as";
    /// A passkey has to be shown, or shown again.
    SHOW_PASSKEY = "C1084", 401, "a passkey has to be shown for this",
        "confirm with your passkey at `/step-up`, then send it again";
    /// A passkey, or what it signed, that is not accepted.
    BAD_PASSKEY = "C1085", 403, "the passkey was not accepted",
        "try again with a passkey that was registered here; without one, ask for a new sign-in link";
    /// The first administrator's link, from somewhere else than the host.
    NOT_FROM_HOST = "C1086", 403, "the link opens only on the server's host",
        "open it in a browser on the host, or through `ssh -L`; this holds until the first administrator has a passkey";
    /// There is none, or it is over.
    NO_PROPOSAL = "C1087", 404, "there is no such proposal that waits",
        "see `/proposals` for those that wait; propose it again";
    /// Whoever proposed it cannot confirm it.
    OWN_PROPOSAL = "C1088", 403, "a proposal is confirmed by somebody else",
        "ask another person with the role to confirm it";
    /// There is none.
    NO_PASSKEY = "C1089", 404, "the person has no such passkey",
        "see `/passkeys` for those they have";
    /// The caller is none of the receivers that the configuration names.
    NO_RECEIVER = "C1090", 403, "the caller may not receive signals",
        "an operator names its service account in `[[signals.transmit]]` of the configuration";
    /// The token lacks the scope (RFC 6750, section 3.1).
    NEEDS_SCOPE = "C1091", 403, "the access token does not have the scope for it",
        "ask for a token with `scope=ssf.manage`; `ssf.read` is enough to look";
    /// There is none of this id for this receiver.
    NO_STREAM = "C1092", 404, "no such stream",
        "see yours with a GET of the configuration endpoint, or create one";
    /// A receiver has one stream.
    STREAM_EXISTS = "C1093", 409, "the receiver has a stream already",
        "read it, and change it with PATCH or PUT, or use another service account";
    /// A stream, status, subject or poll that cannot be read or is not possible.
    BAD_STREAM = "C1094", 400, "the request about a stream is not understood",
        "send what Shared Signals Framework 1.0, section 8.1 says";
    /// Verifications follow each other too quickly.
    TOO_MANY_VERIFICATIONS = "C1095", 429, "a verification was asked for a moment ago",
        "wait for `min_verification_interval` seconds of the stream's configuration";
    /// A security event token that is not taken.
    BAD_SIGNAL = "C1096", 400, "the security event token is not accepted",
        "send one as Shared Signals Framework 1.0, section 4 says, signed with a key of the transmitter's metadata";
    /// The configuration names no such transmitter, or it does not push.
    NO_TRANSMITTER = "C1097", 404, "no such transmitter",
        "name it in `[[signals.receive]]` of the configuration, with `delivery = \"push\"`";
    /// None waits under this id.
    NO_HELD_SIGNAL = "C1098", 404, "no such signal waits for a decision",
        "see which do: `chancery signal held`";
    /// A person that a client names and that is not here.
    UNKNOWN_USER = "C1100", 400, "there is no such person to be asked",
        "name a person as `chancery person list` does";
    /// A text that cannot be shown beside another one.
    BAD_BINDING_MESSAGE = "C1101", 400, "the binding message cannot be shown",
        "send at most 128 letters, digits and marks on one line";
    /// Somebody else's question, or none.
    NO_QUESTION = "C1102", 404, "no such question waits for this person",
        "open `/asked`: it shows what waits";

    /// Nothing permitted it, or a policy forbade it.
    DENIED = "C2001", 403, "the policies do not allow it",
        "see what would make it pass: `chancery why DECISION`";
    /// Humans have to approve exactly this call.
    NEEDS_APPROVAL = "C2002", 403, "a human has to approve it first",
        "let somebody who may approve it open the address that is given, then send exactly the same call again";
    /// A human has to prove presence.
    NEEDS_STEP_UP = "C2003", 401, "a human has to confirm presence first",
        "let a person confirm presence at the address that is given, then send it again";
    /// Evaluation reported an error, which is a deny.
    EVALUATION_FAILED = "C2004", 403, "the policies could not be evaluated",
        "mend the policy that `chancery why DECISION` names";
    /// There is no valid policy set.
    NOT_READY = "C2005", 503, "no policy set is in force, so everything is denied",
        "mend the policies: `chancery policy check`, then `chancery policy reload`";
    /// The tool is new or changed and not approved.
    QUARANTINED = "C2006", 403, "the tool changed and waits for approval",
        "look at it with `chancery tool approve SERVER TOOL`, which says how to approve what it shows";
    /// An evaluation request lacks a field or has one of a wrong type.
    BAD_EVALUATION = "C2007", 400, "the evaluation request is not understood",
        "send subject{type,id}, action{name} and resource{type,id} as AuthZEN 1.0 says";
    /// An argument does not have the type that the tool's definition gives it.
    BAD_ARGUMENT = "C2008", 403, "an argument does not fit the tool's definition",
        "send it as the tool's input schema says";
    /// A definition was approved, and the policy set that knows it is not in force (yet).
    POLICIES_BEHIND = "C2009", 503, "the policies in force do not know the tool's definition",
        "see with `chancery policy status` why, mend the policies, and put them in force: `chancery policy reload`";
    /// What a server lists could not be compared with what is pinned, so that nothing of it can be trusted.
    UNREVIEWED = "C2010", 503, "the server's tools could not be reviewed",
        "mend what the reason says; the server is asked again at the next call";
    /// Other policies were put in force under a decision, and want to know other things.
    POLICIES_CHANGED = "C2011", 503, "the policies changed while this was decided",
        "send it again";

    /// An argument that a meter counts is not there, or is no amount.
    UNCOUNTABLE = "C2020", 403, "the call cannot be counted",
        "send the argument as an amount that is not negative and has no more decimal places than the meter counts";
    /// The limits that a session was granted do not cover it.
    OUTSIDE_TASK = "C2021", 403, "it is outside the task",
        "ask for authorization that covers it: `authorization_details` of a new session";
    /// Agent, person or session was stopped while an upstream's answer was waited for.
    CALL_CUT = "C2030", 403, "the call was cut: what it was made under has ended",
        "look at the upstream whether it happened before it is done again: `chancery why DECISION`";

    /// There is no such request for approval.
    NO_APPROVAL = "C2040", 404, "there is no such request for approval",
        "see those that wait: `chancery approval list`";
    /// One agent asks people too much.
    TOO_MANY_REQUESTS_FOR_APPROVAL = "C2041", 429, "the agent asks people too often",
        "wait until those that are waiting were decided; whoever runs the agent should look why it asks so much";
    /// Somebody was quicker, or the page was old.
    APPROVAL_CHANGED = "C2042", 409, "the request is not what was shown",
        "open it again and decide on what it shows now";
    /// It was decided, used up, taken back, or its time is over.
    APPROVAL_OVER = "C2043", 409, "the request is closed",
        "there is nothing to be decided any more; the same call asks anew";
    /// A person who is not among the approvers.
    NOT_AN_APPROVER = "C2044", 403, "this person may not decide it",
        "let one of those decide who are named in the request";
    /// A yes to something risky, without a passkey.
    NEEDS_PASSKEY = "C2045", 403, "a passkey has to be shown for this",
        "confirm with a passkey, then approve";
    /// Somebody who was asked said no.
    APPROVAL_DENIED = "C2046", 403, "a human said no to it",
        "do not send it again: it is not asked for again before the request would have ended";
    /// No such stand-in.
    NO_STAND_IN = "C2047", 404, "there is no such stand-in",
        "see `chancery approval stand-in list --all`";
    /// Somebody who cannot stand in for somebody, or not so.
    BAD_STAND_IN = "C2048", 422, "the stand-in cannot be so",
        "name another person who is active, and a time that lies ahead";

    /// Somebody threw the kill switch.
    CONTAINED = "C2050", 403, "it is contained",
        "stop here: a person decides when it goes on; `chancery containment list` shows what is contained";
    /// No such containment.
    NO_CONTAINMENT = "C2051", 404, "no such containment",
        "see `chancery containment list --all`";
    /// What is to be contained is not there, or not named as it has to be.
    BAD_CONTAINMENT = "C2052", 422, "that cannot be contained",
        "name something that is there: `chancery kill --help` shows how";
    /// The switch was thrown, and something that it covers was not seen to stop.
    NOT_ACKNOWLEDGED = "C2053", 503, "it is contained, and not everything has confirmed that it stopped",
        "throw the switch again; what does not stop then has to be stopped by hand";
    /// No such break-glass.
    NO_BREAK_GLASS = "C2054", 404, "no such break-glass",
        "see `chancery break-glass list`";
    /// A break-glass that is not given, or a review that is none.
    BREAK_GLASS_REFUSED = "C2055", 409, "the break-glass is refused",
        "somebody else reviews the last one first: `chancery break-glass review ID --note TEXT`";
    /// As many listen to what is contained as one node tells.
    TOO_MANY_LISTENERS = "C2056", 503, "too many listen to what is contained",
        "listen at another node, or once for several enforcers";

    /// A denial that no human can turn into an allow, or not any more.
    NOT_REQUESTABLE = "C2060", 400, "no human can be asked to approve this",
        "evaluate it again: only a denial with `context.access_request` may be brought here";
    /// A denial that was brought too late.
    DENIAL_EXPIRED = "C2061", 410, "the denial is too old to be brought before a human",
        "evaluate it again, and bring the new denial in time";
    /// What was sent is not the denial that it names.
    BAD_DENIAL_BINDING = "C2062", 400, "the request is not about the denial that it names",
        "send subject, action, resource and context as they were evaluated, and the denial's `evaluation_id`";
    /// Not a task of whoever asks.
    NO_TASK = "C2063", 404, "there is no such access request",
        "use the `status_endpoint` of the answer, with the account that sent the request";
    /// Its time is over.
    TASK_EXPIRED = "C2064", 410, "the access request has expired",
        "evaluate it again, and send a new request";

    /// A sweep that cannot be taken.
    SWEEP_REFUSED = "C2901", 409, "the sweep is refused",
        "wait until the other one is over (`chancery discover sweeps`), then sweep again";
    /// No such sweep.
    NO_SWEEP = "C2902", 404, "no such sweep",
        "see `chancery discover sweeps`";
    /// Nothing is held, or not any more.
    NOTHING_HELD = "C2903", 409, "there is nothing to say yes to",
        "see `chancery discover sweeps`: HELD counts what waits for an answer";
    /// Nothing in the inventory is called so.
    NO_OBJECT = "C2904", 404, "nothing in the inventory is called so",
        "look for it: `chancery inventory list --text PART`";
    /// Several things are called so.
    SEVERAL_OBJECTS = "C2905", 409, "several things in the inventory are called so",
        "name one by its URN: `chancery inventory list --text NAME -o wide`";

    /// What was discovered cannot become this identity.
    ADOPTION_REFUSED = "C2906", 409, "what was discovered cannot be adopted",
        "look at it: `chancery inventory list --text NAME -o wide`";

    /// A policy file cannot be parsed.
    POLICY_SYNTAX = "C3001", 422, "a policy file cannot be read",
        "mend it and run `chancery policy check`";
    /// A policy does not fit the schema.
    POLICY_TYPE = "C3002", 422, "a policy does not fit the schema",
        "mend it and run `chancery policy check`; `chancery policy schema` prints the schema";
    /// A policy can never apply.
    POLICY_INERT = "C3003", 422, "a policy can never apply",
        "mend or remove it";
    /// Two policies have one id, or one has none.
    POLICY_ID = "C3004", 422, "a policy has no id of its own",
        "give it an @id(\"…\") that no other policy has";
    /// A policy test gave another decision.
    POLICY_TEST = "C3005", 422, "a policy test failed",
        "mend the policy or its test and run `chancery policy test`";
    /// A policy fits the schema and can still fail while it is evaluated.
    POLICY_MAY_FAIL = "C3006", 422, "a policy can fail at run time",
        "guard or bound the expression as the message says: a policy that fails is a deny";
    /// A schema file, or the schema as a whole.
    POLICY_SCHEMA = "C3007", 422, "the schema cannot be used",
        "mend the *.cedarschema file and run `chancery policy check`";
    /// `entities.json`.
    POLICY_ENTITIES = "C3008", 422, "the entities cannot be used",
        "mend entities.json and run `chancery policy check`";
    /// An annotation or a template that the engine does not know how to honour.
    POLICY_FORM = "C3009", 422, "a policy has a form that is not supported",
        "write it as the message says";
    /// Warning: a policy that every decision has to look at.
    POLICY_UNINDEXED = "C3010", 422, "a policy is looked at in every decision",
        "name a principal, an action or a resource in its scope";
    /// Warning: an argument that policies cannot see.
    ARGUMENT_UNTYPED = "C3011", 422, "an argument of a tool has no type that policies know",
        "nothing, unless a policy should depend on it";
    /// Warning: a policy about tools that nobody has listed yet.
    POLICY_WAITS = "C3012", 422, "a policy waits for tools that are not known yet",
        "nothing: it comes into force when the server's tools are pinned";

    /// `meters.json`.
    POLICY_METERS = "C3013", 422, "the meters cannot be used",
        "mend meters.json and run `chancery policy check`";

    /// No server of this name is configured.
    NO_SERVER = "C4001", 404, "no such server",
        "see `chancery status` for the configured servers";
    /// The upstream cannot be reached.
    UPSTREAM_DOWN = "C4002", 502, "the upstream server cannot be reached",
        "check it with `chancery doctor`";
    /// The upstream answered something that is not MCP.
    UPSTREAM_BAD = "C4003", 502, "the upstream server's answer is not understood",
        "look at the upstream's own log";
    /// The message is not acceptable: malformed, ambiguous, a batch, headers that differ from the body.
    BAD_MESSAGE = "C4004", 400, "the message is not accepted",
        "send one JSON-RPC message, unambiguous, with headers that say what its body says";
    /// The method is unknown or not let through.
    METHOD_DENIED = "C4005", 403, "the method is not let through",
        "use the methods of MCP 2025-11-25 or 2026-07-28 that the reference lists";
    /// The tool is unknown to the server or hidden from the caller.
    NO_TOOL = "C4006", 404, "no such tool for this caller",
        "list the tools first";
    /// The MCP session is unknown or another agent's.
    NO_MCP_SESSION = "C4007", 404, "no such MCP session",
        "send initialize to open a new one";
    /// Too large, too deep, too many.
    TOO_LARGE = "C4008", 413, "the request is larger than this server takes",
        "send less at once";
    /// Host or Origin is not ours.
    BAD_ORIGIN = "C4009", 403, "the request comes under a foreign host name or from a foreign origin",
        "use the public URL of the configuration";
    /// A credential the server needs is not there.
    NO_SECRET = "C4010", 502, "the credential for the upstream server is not stored",
        "store it: `chancery secret set NAME` reads it from standard input";
    /// No such path.
    NO_ENDPOINT = "C4011", 404, "there is nothing at this address",
        "see the metadata under /.well-known/";
    /// The path is there, the method is not.
    NO_METHOD = "C4012", 405, "this address does not take that method",
        "see the Allow header";
    /// The body of a request did not come in time.
    TOO_SLOW = "C4013", 408, "the request did not come in time",
        "send headers and body at once";
    /// There is no connection to the upstream, or it was taken back.
    NOT_CONNECTED = "C4020", 502, "nobody has connected the upstream server",
        "an administrator connects it: `chancery connection authorize SERVER`";
    /// The upstream wants more scope than its connection has.
    SCOPE_MISSING = "C4021", 502, "the connection to the upstream server has too little scope",
        "an administrator may widen it: `chancery connection authorize SERVER`";
    /// An authorization server said no.
    NOT_GRANTED = "C4022", 502, "the authorization server gave no token",
        "check the server's `oauth` table in the configuration, and the client at its authorization server";
    /// Metadata that is missing, malformed or about somebody else.
    BAD_METADATA = "C4023", 502, "what the upstream says about its authorization server is not accepted",
        "check the upstream's metadata; nothing was sent to its authorization server";
    /// A response that came by the browser.
    BAD_AUTHORIZATION = "C4024", 400, "the authorization response is not accepted",
        "begin again: `chancery connection authorize SERVER`";
    /// No such connection.
    NO_CONNECTION = "C4025", 404, "no such connection",
        "see `chancery connection list`";
    /// An authorization server that does not answer.
    ISSUER_DOWN = "C4026", 502, "the upstream's authorization server cannot be reached",
        "try again in a few seconds";

    /// The store cannot write, so nothing is allowed.
    STORE_FAILED = "C5001", 503, "the record cannot be written, so nothing is done",
        "check disk space and health, then restart the server";
    /// The store cannot be read.
    READ_FAILED = "C5002", 500, "the record cannot be read",
        "check the disk, then restart the server";
    /// No such entry or decision.
    NO_DECISION = "C5003", 404, "no such decision",
        "check the id: it begins with `d-`";
    /// The log does not verify.
    VERIFY_FAILED = "C5004", 409, "the log does not verify",
        "keep the bundle and the old checkpoint, stop the server, and find out who changed it";
    /// No such entry in the tree yet.
    NOT_SEQUENCED = "C5005", 404, "the entry is not in the signed tree yet",
        "ask again in a second";
    /// No such body.
    NO_BODY = "C5006", 404, "the entry has no such body",
        "look at the entry first: `chancery why ID`";
    /// A node that shares its database may not act by what it knows.
    LEASE_OVER = "C5010", 503, "this node may have missed a change, so it does nothing",
        "ask another node; look at the way from this one to the database: `chancery node list`";
    /// A node cannot join, or be told to leave.
    BAD_NODE = "C5011", 409, "the node cannot join or leave",
        "see which nodes there are: `chancery node list`; a token is good once, for an hour";

    /// No such agent.
    NO_AGENT = "C6001", 404, "no such agent",
        "see `chancery agent list`";
    /// The name is taken.
    AGENT_EXISTS = "C6002", 409, "the name is taken",
        "choose another: names are never reused";
    /// A mandatory field is missing or malformed.
    BAD_FIELD = "C6003", 400, "a field is missing or malformed",
        "give it as `--help` shows";
    /// The state does not allow the step.
    BAD_TRANSITION = "C6004", 409, "the state does not allow it",
        "look at it first: `chancery agent get NAME`";
    /// The enrolment code is wrong, used or expired.
    BAD_CODE = "C6005", 403, "the enrolment code is not valid",
        "make a new one: `chancery agent code NAME`";
    /// Possession of the key was not proved.
    BAD_ENROLMENT_PROOF = "C6006", 403, "possession of the key was not proved",
        "sign the enrolment proof with the key that is being enrolled";
    /// No such grant.
    NO_GRANT = "C6007", 404, "no such grant",
        "see `chancery grant list`";
    /// The grant's template, principal or resource does not exist.
    BAD_GRANT = "C6008", 422, "the grant does not fit the policies",
        "see the templates with `chancery policy schema`";
    /// No such session.
    NO_SESSION = "C6009", 404, "no such session",
        "see `chancery session list`";
    /// No such tool.
    NO_SUCH_TOOL = "C6010", 404, "no such tool",
        "see `chancery tool list`";
    /// No such secret.
    NO_SUCH_SECRET = "C6011", 404, "no such secret",
        "see `chancery secret list`";

    /// No such blueprint.
    NO_BLUEPRINT = "C6020", 404, "no such blueprint",
        "see `chancery blueprint list`";
    /// The name of a blueprint is taken.
    BLUEPRINT_EXISTS = "C6021", 409, "the blueprint's name is taken",
        "choose another: names are never reused";
    /// The blueprint's state does not allow the step.
    BLUEPRINT_STATE = "C6022", 409, "the blueprint's state does not allow it",
        "look at it first: `chancery blueprint show NAME`";
    /// Some of the names of a batch cannot be taken, so none was.
    BAD_INSTANCES = "C6023", 422, "the instances cannot be made, and none was",
        "mend or leave out the names that are listed, and send the rest again";
    /// An agent states another manifest than the approved one, or none.
    MANIFEST_UNAPPROVED = "C6024", 403, "the agent's manifest is not the approved one",
        "an administrator looks at it: `chancery agent manifest NAME`";
    /// A text that is no manifest.
    BAD_MANIFEST = "C6025", 400, "the manifest is not understood",
        "send {model, prompt_digest, tools_digest, version?} as JSON, or its digest as `sha256:` and 64 hex digits";
    /// A digest that is to be approved is not that of what was stated.
    MANIFEST_UNSEEN = "C6026", 409, "no manifest of this digest was stated",
        "look at what was: `chancery agent manifest NAME`, `chancery blueprint manifest NAME`";
    /// No such person.
    NO_PERSON = "C6030", 404, "no such person",
        "see `chancery person list`";
    /// The name is another person's.
    PERSON_EXISTS = "C6031", 409, "the name is another person's",
        "choose another: names are never reused";
    /// The person is in that state already, or may not do that in it.
    BAD_PERSON_STATE = "C6032", 409, "the person's state does not allow it",
        "look at it first: `chancery person list`";

    /// No such channel.
    NO_CHANNEL = "C6040", 404, "no such channel",
        "see `chancery channel list`; channels stand in the configuration file";
    /// No message that could be sent again.
    NO_DELIVERY = "C6041", 404, "no such undelivered message",
        "see `chancery channel deliveries`";

    /// The configuration cannot be read or understood.
    BAD_CONFIG = "C7001", 400, "the configuration is not understood",
        "mend the file: `chancery doctor` checks it";
    /// The configuration asks for something that is not safe.
    UNSAFE_CONFIG = "C7002", 400, "the configuration is refused",
        "choose a loopback address, and files that only their owner can read";
    /// The command line is not understood.
    BAD_USAGE = "C7003", 400, "the command is not understood",
        "see `--help`";
    /// The server does not answer.
    UNREACHABLE = "C7004", 503, "the server cannot be reached",
        "start it: `chancery serve`, and check `--data`";
    /// A local file cannot be read or written.
    LOCAL_FILE = "C7005", 500, "a file cannot be read or written",
        "check the path and its permissions";
    /// The answer of a server is not understood.
    BAD_ANSWER = "C7006", 502, "the server's answer is not understood",
        "check that client and server are of one version";
    /// The request body or a parameter is not understood.
    BAD_REQUEST = "C7007", 400, "the request is not understood",
        "send what the reference shows";
    /// A step of the demo did not do what it should.
    DEMO_FAILED = "C7008", 500, "the demo did not do what it should",
        "read the steps above; run it with --data DIR to keep what it did";
    /// Something in the server broke.
    INTERNAL = "C7009", 500, "the server failed",
        "look at its log";
    /// Somebody pressed Ctrl-C.
    INTERRUPTED = "C7010", 499, "the command was interrupted",
        "start it again: what was committed before stays";
}

/// The row with this code.
pub fn row(code: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.code == code)
}

/// One error as it is sent and shown: problem details (RFC 9457) with the four lines people see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of problem as a URI: `urn:chancery:problem:C2001`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The code of the table, for instance `C2001`.
    pub code: String,
    /// What went wrong: subject, verb, object.
    pub title: String,
    /// The HTTP status it travels with.
    pub status: u16,
    /// The deciding fact, with value and limit.
    pub detail: String,
    /// What to do about it: a command or an address.
    pub next: String,
    /// The decision that can be opened with `chancery why`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
}

impl Problem {
    /// An instance of a row; `detail` is the deciding fact.
    pub fn new(row: Row, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:chancery:problem:{}", row.code),
            code: row.code.into(),
            title: row.title.into(),
            status: row.status,
            detail: detail.into(),
            next: row.help.into(),
            decision_id: None,
        }
    }

    /// The same with advice that fits this instance better than the table's.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self { next: next.into(), ..self }
    }

    /// The same, naming the decision it comes from.
    #[must_use]
    pub fn decision(self, id: impl ToString) -> Self {
        Self { decision_id: Some(id.to_string()), ..self }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} [{}]", self.title, self.detail, self.code)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_well_formed() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} before {}", pair[0].code, pair[1].code);
        }
        for row in TABLE {
            let digits = row.code.strip_prefix('C').unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{}", row.code);
            assert!((400..600).contains(&row.status), "{}", row.code);
            assert!(!row.title.ends_with('.') && !row.help.is_empty(), "{}", row.code);
        }
    }

    #[test]
    fn a_row_is_found_by_its_code() {
        assert_eq!(row("C2001"), Some(&DENIED));
        assert_eq!(row("C9999"), None);
    }
}
