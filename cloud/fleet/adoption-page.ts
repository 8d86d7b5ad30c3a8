import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { html, raw } from 'hono/html';
import { adminPath } from '../tenants/admin-api.ts';

// What a phone opens that scans the QR code of a device. The code stands behind the # of the address, which a browser keeps
// to itself; whose the device is to be says a key of the tenant, as in every use of the admin API. The page knows nothing.

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 32rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
label { display: block; margin: .8rem 0; }
input:not([type=checkbox]) { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .4rem; }
button { font: inherit; padding: .5rem 1.5rem; }
pre { white-space: pre-wrap; padding: .6rem; border: 1px solid #8886; }
output { display: block; margin: 1rem 0; font-weight: 600; }
`;

const script = `
const field = (name) => document.forms[0].elements[name];
const code = decodeURIComponent(location.hash.slice(1)).trim();
if (code) field('code').value = code;
const isPrivate = location.protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
document.getElementById('open').hidden = isPrivate;
document.querySelector('button').disabled = !isPrivate;
document.forms[0].addEventListener('submit', async (event) => {
  event.preventDefault();
  const say = (text) => { document.querySelector('output').textContent = text; };
  const value = (name) => field(name).value.trim();
  const body = { code: value('code'), site: value('site'), replace: field('replace').checked };
  if (value('gateway')) body.gateway = value('gateway');
  const key = new TextEncoder().encode(value('id') + ':' + value('secret'));
  try {
    const response = await fetch('${adminPath}/tenants/' + encodeURIComponent(value('tenant')) + '/adoptions', {
      method: 'POST',
      headers: { authorization: 'Basic ' + btoa(String.fromCharCode(...key)) },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) say('Refused: ' + answer.error);
    else say('Adopted. ' + (answer.data.seenAt ? 'Its console and its page say so within a minute.'
      : 'It has not asked for a while: it becomes a gateway when it reaches the cloud.'));
  } catch (error) {
    say('The cloud does not answer: ' + error.message);
  }
});
`;

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const headers = {
  'content-security-policy': [
    ...["default-src 'none'", `script-src ${hashOf(script)}`, `style-src ${hashOf(style)}`],
    ...["connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'", "base-uri 'none'"],
  ].join('; '),
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

const input = (name: string, label: string, more = '') =>
  html`<label>${label}<input name="${name}" autocapitalize="none" autocomplete="off" ${raw(more)}></label>`;

const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Adopt a device – Firn</title>
<style>${raw(style)}</style>
</head>
<body>
<h1>Adopt a Firn device</h1>
<p id="open" hidden>This page came over plain HTTP, where a key could be read on the way. Adopt the device by the command
below, or open this page over HTTPS.</p>
<form>
${input('code', 'Code that the device shows', 'required')}
${input('tenant', 'Tenant', 'required')}
${input('site', 'Site where it stands', 'required')}
${input('gateway', 'Name (empty: its own)')}
<label><input type="checkbox" name="replace"> it takes the place of a gateway with this name</label>
${input('id', 'Id of a key with the scope admin', 'required')}
${input('secret', 'Secret of that key', 'type="password" required')}
<button>Adopt</button>
<output></output>
</form>
<p>The same by a command:</p>
<pre>firn gateways adopt CODE --tenant TENANT --site SITE</pre>
<script>${raw(script)}</script>
</body>
</html>`;

export const adoptionPage = async (c: Context): Promise<Response> => c.html(await page, 200, headers);
