/** Schemas in the engine that hold what stands for PostgreSQL's own (catalog/install.ts makes them). */
export const catalogSchema = 'firn_pg_catalog';
export const informationSchema = 'firn_information_schema';
/** Firn's tables, empty, for describing statements; a reference to one is a hole in a template. */
export const tableSchema = 'firn_public';

/** What `version()` and `server_version` say. Clients choose their catalog queries by it. */
export const serverVersion = '16.4';
export const serverVersionNum = '160004';
