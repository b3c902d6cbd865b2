# The same but for the quantiles, for which jq would have to hold every latency
reduce inputs.data as $gen ({}; "\($gen.model)\t\($gen.created_at[:10])" as $key
  | .[$key] |= [(.[0] + 1), (.[1] + $gen.total_cost), (.[2] + $gen.native_tokens_prompt), (.[3] + $gen.native_tokens_completion)])
| to_entries[] | "\(.key)\t\(.value[0])\t\(.value[1])\t\(.value[2])\t\(.value[3])"
