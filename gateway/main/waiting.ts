import { Hono } from 'hono';
import { html, raw } from 'hono/html';
import { renderSVG } from 'uqr';
import { firnVersion } from '../../lake/api/build-info.ts';
import { type HttpServer, startHttpServer } from '../../lake/api/http-server.ts';
import type { ListenerTls } from '../../lake/base/server-tls.ts';
import { adoptionUrl, printDeviceCode } from '../../provisioning/device-code.ts';
import {
  adoptCommand,
  type EnrollmentState,
  type WaitingState,
  waitingLines,
} from '../fleet/enrollment-state.ts';
import { page } from './page.ts';

// The door of a device that is no gateway yet. It takes nothing, since it does not know whose it would be; but it says to
// the person who stands before it what is to be done.

/** Seconds after which senders come again. */
const comeAgain = '30';

/** `state`: as it is at the moment. With TLS, too, since that is how the page is asked for later. */
export function startWaitingServer(
  address: Pick<ListenerTls, 'tls'> & { readonly host: string; readonly port: number },
  state: () => EnrollmentState | undefined,
): Promise<HttpServer> {
  const app = new Hono();
  app.get('/', (c) => {
    const now = state();
    return c.html(waitingPage(now?.kind === 'waiting' ? now : undefined));
  });
  app.get('/api/v1/firn/status', (c) => c.json({ enrollment: state() ?? null }));
  // It is alive: see firn-watch.
  app.get('/health', (c) => c.json({ name: 'firn', status: 'pass', message: notEnrolled }));
  app.all('*', (c) => {
    c.header('Retry-After', comeAgain);
    return c.json({ status: 'error', errorType: 'unavailable', error: notEnrolled }, 503);
  });
  return startHttpServer(app, address);
}

const notEnrolled =
  'this gateway is not enrolled yet, and takes nothing before that; its page / says what is to be done';

function waitingPage(state: WaitingState | undefined) {
  if (state === undefined) return page('Firn', html`<h1>This device is enrolled, and starts.</h1>`);
  const { code, url } = state;
  const lines = waitingLines(state).map((line) => html`<p>${line}</p>`);
  if (code === undefined)
    return page(
      'Firn',
      html`<h1>This device is no gateway yet</h1>
<p>Firn ${firnVersion}</p>
${lines}`,
    );
  return page(
    'Firn',
    html`<h1>This device belongs to nobody yet</h1>
<p>Firn ${firnVersion}</p>
<p>Its code:</p>
<p class="code">${printDeviceCode(code)}</p>
<p>${raw(renderSVG(adoptionUrl(url, code), { ecc: 'M', border: 2 }))}</p>
<p>Scan the picture with a phone, open <a href="${adoptionUrl(url, code)}">the page of the cloud</a>, or give the command:</p>
<pre><code>${adoptCommand(code)}</code></pre>
${lines}`,
  );
}
