import { main as cloud } from '../cloud/main.ts';

/** The cloud, with a gateway's receivers for what is sent to it directly; loaded when something is. */
export const main = (argv: readonly string[]): Promise<number> =>
  cloud(argv, async (options) => {
    const { openVirtualGateway } = await import('../gateway/main/virtual-gateway.ts');
    return openVirtualGateway(options);
  });
