-- What Argo CD shows as the health of a TradingSystem: read from its conditions, never from anything else.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not yet looked at this generation" }
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local none = { status = "Unknown", reason = "", message = "" }
local ready = conditions.Ready or none
local reconciling = conditions.Reconciling or none
local stalled = conditions.Stalled or none
local safe = conditions.SafeToTrade or none

if stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
elseif reconciling.reason == "Paused" or reconciling.reason == "SessionOpen" then
  -- Waiting on purpose is no illness; but a system that is not well is ill also while its rollout waits.
  if ready.status == "True" or (ready.status == "False" and (ready.reason == "Paused" or ready.reason == "SessionOpen")) then
    return { status = "Suspended", message = reconciling.message }
  end
  return { status = "Degraded", message = ready.message }
elseif reconciling.status == "True" then
  return { status = "Progressing", message = reconciling.message }
elseif ready.status ~= "True" then
  return { status = "Degraded", message = ready.message }
elseif safe.status == "False" then
  return { status = "Healthy", message = "not safe to trade: " .. safe.message }
end
return { status = "Healthy", message = ready.message }
