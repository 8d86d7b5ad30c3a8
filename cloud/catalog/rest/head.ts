import { z } from 'zod';
import { hasCode } from '../../../lake/base/errors.ts';
import { metadataOf } from '../metadata.ts';
import type { ExistingTable, TableHead, TableState } from '../table-head.ts';
import { parsed, type RestAnswer, type RestCatalog } from './client.ts';
import { tableCommit } from './updates.ts';

// The head of a table that an external Iceberg REST catalog keeps (Polaris, Lakekeeper, Nessie): which metadata is the
// newest is its to decide, and it writes the metadata files. Manifests and data are written as ever.

const tableJson = z.looseObject({ 'metadata-location': z.string(), metadata: z.unknown() });

const absent: TableState = { version: 0, metadata: undefined };

/** The head of `<namespace>.<name>`; the namespace is made with its first table. */
export function restHead(catalog: RestCatalog, namespace: string, name: string): TableHead {
  const space = `/namespaces/${encodeURIComponent(namespace)}`;
  const path = `${space}/tables/${encodeURIComponent(name)}`;
  /** What the catalog said last, so that it need not say it again. */
  let last: { readonly state: ExistingTable; readonly etag: string | undefined } | undefined;

  function take({ json, etag }: RestAnswer): ExistingTable {
    const { 'metadata-location': location, metadata: text } = parsed(tableJson, json, path);
    const metadata = metadataOf(text, location);
    const state = { version: versionOf(location, metadata.lastUpdatedMs), metadata, location };
    last = { state, etag };
    return state;
  }

  async function makeNamespace(): Promise<void> {
    try {
      await catalog.request('POST', '/namespaces', { body: { namespace: [namespace], properties: {} } });
    } catch (error) {
      if (!hasCode(error, 'conflict')) throw error;
    }
  }

  return {
    load: async () => {
      try {
        const etag = last?.etag;
        const headers = etag === undefined ? {} : { 'If-None-Match': etag };
        const answer = await catalog.request('GET', path, { headers });
        return answer.status === 304 && last ? last.state : take(answer);
      } catch (error) {
        if (!hasCode(error, 'not-found')) throw error;
        last = undefined;
        return absent;
      }
    },
    swap: async (base, next) => {
      if (!base.metadata) await makeNamespace();
      return take(await catalog.request('POST', path, { body: tableCommit(base.metadata, next) }));
    },
  };
}

/** Most catalogs number their metadata files; for others a later change has a later time. */
function versionOf(location: string, lastUpdatedMs: number): number {
  const number = /\/v?(\d+)(?:-[^/]*)?(?:\.gz)?\.metadata\.json$/.exec(location)?.[1];
  return number === undefined ? lastUpdatedMs : Number(number) + 1;
}
