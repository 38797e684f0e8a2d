/** What a client of AWS threw, by what cannot repeat anything that was sent or came back: its messages do. */
export type AwsError = {
  /** As AWS writes it: clients add a word. */
  name: string;
  status: number | undefined;
  awsRequestId: string | undefined;
  /** Said for good: AWS refuses it (4xx), or it never got there because we have no identity at AWS. */
  isRefused: boolean;
};

export function readAwsError(error: unknown): AwsError {
  const { name: said = 'Error', $metadata = {} } = error as {
    name?: string;
    $metadata?: { httpStatusCode?: number; requestId?: string };
  };
  const name = said.replace(/Exception$/, '');
  const { httpStatusCode: status, requestId: awsRequestId } = $metadata;
  const isOfCaller = status !== undefined && status >= 400 && status < 500;
  return { name, status, awsRequestId, isRefused: isOfCaller || name === 'CredentialsProviderError' };
}
