from llm_chatbot.engine.devices import available_devices, check_device


def test_devices_may_be_written_in_small_letters_and_combined():
    for device in [*available_devices(), "cpu", "auto", "AUTO:CPU", "HETERO:CPU"]:
        check_device(device)
