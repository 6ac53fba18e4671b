// How an agent of ACME gets to act in a person's name, with an ordinary OAuth client (oauth4webapi) and nothing of ours.
//
// It shows a code that the person enters at Chancery (RFC 8628), and gets a token for what they allowed. It can hand that
// over to one other agent, which takes it over for something narrower (RFC 8693). Each token is bound to a key that only
// its agent has (RFC 9449), so that a copy of one is worth nothing.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as oauth from 'oauth4webapi';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
// The server of the sample company is reached by plain HTTP on this machine.
const LOCAL = { [oauth.allowInsecureRequests]: true };

/** The key that `chancery agent enrol` keeps: the algorithm, and PKCS #8 in base64url. Refuses a file others can read. */
export async function keyOf(name) {
    const path = join(process.env.CHANCERY_KEY_DIR, `${name}.key`);
    if (statSync(path).mode & 0o077) throw new Error(`${path} can be read by others`);
    const [algorithm, material] = readFileSync(path, 'utf8').trim().split(' ');
    if (algorithm !== 'ES256') throw new Error(`${path} holds no ES256 key`);
    const kind = { name: 'ECDSA', namedCurve: 'P-256' };
    return crypto.subtle.importKey('pkcs8', Buffer.from(material, 'base64url'), kind, false, ['sign']);
}

/** What the token says about itself, as anybody can read it. */
export function claims(token) {
    return JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
}

/** The way of agent `name` to authority that is not its own. */
export class Mandate {
    #issuer = new URL(process.env.CHANCERY_URL);
    #server;
    #client;
    #auth;
    #DPoP;
    #asked;

    static async of(name) {
        const mandate = new Mandate();
        const found = await oauth.discoveryRequest(mandate.#issuer, { algorithm: 'oauth2', ...LOCAL });
        mandate.#server = await oauth.processDiscoveryResponse(mandate.#issuer, found);
        mandate.#client = { client_id: name };
        mandate.#auth = oauth.PrivateKeyJwt(await keyOf(name));
        mandate.#DPoP = oauth.DPoP(mandate.#client, await oauth.generateKeyPair('ES256'));
        return mandate;
    }

    /** The address of a system behind Chancery. */
    resource(system) {
        return new URL(`/mcp/${system}`, this.#issuer).href;
    }

    /** Asks for `details` at `system`: what the person has to enter, and where. */
    async ask(system, details) {
        const form = { resource: this.resource(system), authorization_details: JSON.stringify(details) };
        this.#asked = await this.#send(
            (options) => oauth.deviceAuthorizationRequest(this.#server, this.#client, this.#auth, form, options),
            (answer) => oauth.processDeviceAuthorizationResponse(this.#server, this.#client, answer),
        );
        return this.#asked;
    }

    /** The token, once the person has said yes. */
    async granted() {
        const { device_code } = this.#asked;
        const { access_token } = await this.#send(
            (options) => oauth.deviceCodeGrantRequest(this.#server, this.#client, this.#auth, device_code, options),
            (answer) => oauth.processDeviceCodeResponse(this.#server, this.#client, answer),
        );
        return access_token;
    }

    /** A token that `agent`, and nobody else, can take over. */
    handOver(token, agent) {
        return this.#exchange({ subject_token: token, may_act: agent });
    }

    /** Takes a token over that was handed to this agent, for `details` at `system` and no more. */
    takeOver(token, system, details, purpose) {
        const authorization_details = JSON.stringify(details);
        return this.#exchange({ subject_token: token, resource: this.resource(system), authorization_details, purpose });
    }

    /** `fetch` with the token and a fresh proof of its key, as the transport of an MCP client wants it. */
    fetching(token) {
        return async (url, { method, headers, body }) => {
            const ask = (options) => oauth.protectedResourceRequest(token, method, new URL(url), new Headers(headers), body, options);
            try {
                return await this.#twice(ask);
            } catch (error) {
                if (error instanceof oauth.WWWAuthenticateChallengeError) return error.response;
                throw error;
            }
        };
    }

    async #exchange(form) {
        const typed = { subject_token_type: ACCESS_TOKEN, ...form };
        const { access_token } = await this.#send(
            (options) => oauth.genericTokenEndpointRequest(this.#server, this.#client, this.#auth, EXCHANGE, typed, options),
            (answer) => oauth.processGenericTokenEndpointResponse(this.#server, this.#client, answer),
        );
        return access_token;
    }

    #send(request, process) {
        return this.#twice(async (options) => process(await request(options)));
    }

    // The first answer brings the nonce that proofs must have.
    async #twice(work) {
        const options = { DPoP: this.#DPoP, ...LOCAL };
        try {
            return await work(options);
        } catch (error) {
            if (!oauth.isDPoPNonceError(error)) throw error;
            return work(options);
        }
    }
}
