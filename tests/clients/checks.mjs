// What checks.py is for scripts in Python.
export const URL = process.env.SERVER ?? "http://127.0.0.1:8000";
export const MODEL = process.env.MODEL ?? "smollm2-135m-instruct";
export const ENCODER = process.env.ENCODER ?? "all-minilm-l6-v2";
export const MESSAGES = [{ role: "user", content: "What is the capital of France? Answer in one sentence." }];
export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] }, capital: { type: "boolean" } },
  required: ["city", "capital"],
  additionalProperties: false,
};
export const FUNCTION = { name: "weather", description: "The weather in a city.", parameters: SCHEMA };

export function matches(value) {
  return ["Paris", "Rome"].includes(value.city) && typeof value.capital === "boolean";
}

export async function report(checks) {
  for (const [name, check] of Object.entries(checks)) {
    let fault = "";
    try {
      if (!(await check())) fault = "another answer";
    } catch (error) {
      console.error(error);
      fault = `${error.name}: ${error.message}`.slice(0, 200);
    }
    console.log(JSON.stringify({ check: name, fault }));
  }
}
