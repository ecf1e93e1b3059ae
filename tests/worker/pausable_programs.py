"""Random programs that can be paused: no references kept, no table or segment changed."""

from tests.fuzz.programs import WideProgram
from tests.wasm.programs import TYPES


class PausableProgram(WideProgram):
    """Everything that `WideProgram` does, except what makes a module refused for pausing."""

    kinds = TYPES

    def text(self) -> str:
        return super().text().replace("(global $gr (mut funcref)", "(global $gr funcref")

    def set_global(self) -> str:
        text = super().set_global()
        return "(nop)" if text.startswith("(global.set $gr") else text

    def tables_changed(self) -> str:
        return self.loop()

    def bulk(self) -> str:
        text = super().bulk()
        return "(nop)" if text.startswith("(data.drop") else text

    def asked(self) -> str:
        text = super().asked()
        return self.constant("i32") if text.startswith("(table.grow") else text
