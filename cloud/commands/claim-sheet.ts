import { renderSVG } from 'uqr';

export interface PrintedClaim {
  readonly id: string;
  /** With the cloud's address, as the QR code has it. */
  readonly text: string;
  readonly site: string;
  readonly gateway: string | undefined;
  readonly expiresAt: string;
}

/** A page to print: one label for each claim. Needs nothing from elsewhere. */
export function claimSheet(tenant: string, claims: readonly PrintedClaim[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Claims of ${escaped(tenant)}</title>
<style>
  body { font: 11px/1.4 sans-serif; margin: 8mm }
  main { display: grid; grid-template-columns: repeat(3, 1fr); gap: 4mm }
  section { border: 1px solid #999; padding: 3mm; break-inside: avoid }
  svg { width: 100%; height: auto }
  code { font-size: 10px; word-break: break-all }
</style>
<main>
${claims.map((claim) => label(tenant, claim)).join('\n')}
</main>
</html>
`;
}

const label = (tenant: string, { id, text, site, gateway, expiresAt }: PrintedClaim): string =>
  `<section>${renderSVG(text, { ecc: 'M', border: 2 })}
<p><b>${escaped(gateway ?? 'new gateway')}</b> at ${escaped(site)}, ${escaped(tenant)}<br>
<code>${escaped(text)}</code><br>
${escaped(id)}, once, until ${escaped(expiresAt.slice(0, 10))}</p></section>`;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
