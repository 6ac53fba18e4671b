// Makes or shows a passkey (WebAuthn Level 3) and sends what came of it with the form of the page. Everything that decides
// happens on the server; without this file the pages work up to the passkey itself.
'use strict';

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
const listed = (list) => list.map((item) => ({ ...item, id: bytes(item.id) }));

async function made(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: listed(options.excludeCredentials),
  };
  const { response } = await navigator.credentials.create({ publicKey });
  return { client_data: text(response.clientDataJSON), attestation: text(response.attestationObject) };
}

async function shown(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: listed(options.allowCredentials),
  };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return {
    credential: text(rawId),
    client_data: text(response.clientDataJSON),
    authenticator_data: text(response.authenticatorData),
    signature: text(response.signature),
    user: response.userHandle ? text(response.userHandle) : '',
  };
}

const reasons = {
  NotAllowedError: 'It was cancelled, took too long, or there is no passkey for this place on this device.',
  InvalidStateError: 'This device has a passkey of yours already.',
  SecurityError: 'Browsers allow passkeys under a host name with https, or under localhost.',
};

// A form that a script sends does not say which button was pressed.
const chosen = ({ name, value }) => Object.assign(document.createElement('input'), { type: 'hidden', name, value });

for (const form of document.querySelectorAll('form[data-passkey]')) {
  const said = form.querySelector('[role=status]');
  const button = form.querySelector('button[disabled]');
  if (!window.PublicKeyCredential) {
    said.textContent = 'This browser has no passkeys.';
    continue;
  }
  button.disabled = false;
  form.addEventListener('submit', async (event) => {
    // Another button of the form needs no passkey.
    if (event.submitter && event.submitter !== button) return;
    event.preventDefault();
    button.disabled = true;
    said.textContent = 'Waiting for your device …';
    try {
      const options = JSON.parse(form.dataset.options);
      const parts = await (form.dataset.passkey === 'create' ? made(options) : shown(options));
      for (const [name, value] of Object.entries(parts)) form.elements.namedItem(name).value = value;
      if (button.name) form.append(chosen(button));
      form.submit();
    } catch (error) {
      said.textContent = reasons[error.name] || String(error.message || error);
      button.disabled = false;
      button.focus();
    }
  });
}
