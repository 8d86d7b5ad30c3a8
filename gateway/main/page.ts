import { html, raw } from 'hono/html';

// What the pages for a person on site have in common. Without a script: they are loaded again by themselves.

const secondsBetweenLoads = 10;

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8886; }
th { font-weight: 500; width: 9rem; }
td:first-of-type { width: 3.5rem; font-weight: 600; }
.ok { color: #18794e; } .look { color: #c2410c; }
code { font-size: .9rem; } .code { font: 600 1.8rem ui-monospace, monospace; letter-spacing: .05em; } svg { width: 14rem; } pre { white-space: pre-wrap; padding: .6rem; border: 1px solid #8886; }
`;

/** `body`: as hono's `html` makes it. */
export const page = (title: string, body: ReturnType<typeof html>) => html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${secondsBetweenLoads}">
<title>${title} – Firn</title>
<style>${raw(style)}</style>
</head>
<body>
${body}
</body>
</html>`;
