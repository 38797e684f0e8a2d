/** Clients of one service of AWS, one for each region, made when the first one is needed. They try each call once. */
type ClientOptions = { region: string; maxAttempts: number; endpoint?: string };

/** @param endpoint absent: the region's own */
export function createRegionalClients<Client>(
  endpoint: string | undefined,
  make: (options: ClientOptions) => Promise<Client>,
): (region: string) => Promise<Client> {
  const clients = new Map<string, Promise<Client>>();
  const named = endpoint === undefined ? {} : { endpoint };
  return (region) => {
    const client = clients.get(region) ?? make({ region, maxAttempts: 1, ...named });
    clients.set(region, client);
    return client;
  };
}
